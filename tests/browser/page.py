"""A report's page in Debian's chromium: python3 page.py CHROMIUM INDEX.html PICTURES

Widths of a phone, a tablet and a desk; light and dark; 200 % zoom; print to PDF; without
script. Fails on a console message, on anything wider than the screen, on a control that does
nothing, on an image without text, on a link that leads nowhere, and on what axe finds.
Pictures go into the folder PICTURES, to be looked at.
"""
import pathlib
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

chromium, page_file, pictures = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
pictures.mkdir(parents=True, exist_ok=True)
failures = []


def check(good, what):
    if not good:
        failures.append(what)
        print("FAILED:", what)


# Elements that reach beyond the screen, but for those inside a box that scrolls by itself.
WIDER = """() => {
  const width = document.documentElement.clientWidth, bad = [];
  if (document.documentElement.scrollWidth > width)
    bad.push('document ' + document.documentElement.scrollWidth + ' > ' + width);
  for (const e of document.querySelectorAll('main *')) {
    const r = e.getBoundingClientRect();
    if (r.width && r.right > width + 1 && !e.closest('.wide'))
      bad.push(e.tagName + ' ' + e.className + ' ' + Math.round(r.right));
  }
  return bad.slice(0, 5);
}"""
SMALL = """() => Array.from(document.querySelectorAll(
    'button, select, summary, nav a, a.get')).filter(e => {
  const r = e.getBoundingClientRect();
  return r.width && (r.width < 24 || r.height < 24);
}).map(e => e.tagName + ' ' + e.textContent.slice(0, 20))"""
DEAD = """() => Array.from(document.querySelectorAll('a[href]')).filter(a => {
  const h = a.getAttribute('href');
  return !(h.startsWith('data:') || (h[0] === '#' && document.getElementById(h.slice(1))));
}).map(a => a.getAttribute('href'))"""
SMALL_TEXT = """() => Array.from(document.querySelectorAll('figure img')).filter(i => {
  const r = i.getBoundingClientRect();
  return r.width && i.naturalWidth > 0 && r.width / i.naturalWidth * 13 < 8.5 &&
         !i.classList.contains('dots');
}).map(i => i.alt.slice(0, 40))"""


def opened(browser, width, scheme, script=True, scale=1):
    context = browser.new_context(viewport={"width": width // scale, "height": 900 // scale},
                                  device_scale_factor=scale, color_scheme=scheme,
                                  java_script_enabled=script)
    page = context.new_page()
    page.set_default_timeout(600_000)  # a busy machine is no failure
    page.on("console", lambda m: check(False, f"console at {width} {scheme}: {m.text}"))
    page.on("pageerror", lambda e: check(False, f"error at {width} {scheme}: {e}"))
    page.on("request", lambda r: check(r.url.startswith(("file:", "data:")), f"loads {r.url}"))
    page.goto(page_file.resolve().as_uri())
    return page


def looks(page, name):
    check(not (w := page.evaluate(WIDER)), f"{name}: wider than the screen: {w}")
    check(not (s := page.evaluate(SMALL)), f"{name}: targets under 24 px: {s}")
    check(not (d := page.evaluate(DEAD)), f"{name}: dead links: {d}")
    check(not (t := page.evaluate(SMALL_TEXT)), f"{name}: plots with tiny text: {t}")
    page.screenshot(path=pictures / f"{name}-first.png")
    page.screenshot(path=pictures / f"{name}.png", full_page=True)


def axe(page, name):
    result = Axe().run(page)
    for v in result.response["violations"]:
        check(False, f"{name}: axe {v['id']} ({v['impact']}), {len(v['nodes'])} places: "
                     f"{v['nodes'][0]['html'][:160]}")
    return len(result.response["passes"])


def controls(page):
    """Every control does something: folds, sorts, filters, picks, explanations."""
    count = {}
    for summary in page.query_selector_all("summary"):
        summary.click()
        check(summary.evaluate("s => s.parentNode.open"), "a fold opens")
        count["folds"] = count.get("folds", 0) + 1
    for button in page.query_selector_all("button.sort"):
        values = ("b => { const th = b.closest('th'); return Array.from("
                  "th.closest('table').tBodies[0].rows).map(r => r.cells[th.cellIndex].textContent) }")
        button.click()
        up = button.evaluate(values)
        check(button.evaluate("b => b.closest('th').getAttribute('aria-sort')") == "ascending",
              "a sorted column says so")
        button.click()
        down = button.evaluate(values)
        full = [v for v in up if v != "-"]
        check(full == full[:1] * len(full) or up != down, f"sorting turns: {up[:4]}")
        try:
            numbers = [float(v) for v in full]
            check(numbers == sorted(numbers), f"numbers are sorted by size: {numbers[:6]}")
        except ValueError:
            pass
        count["sorts"] = count.get("sorts", 0) + 1
    for select in page.query_selector_all(".pick select"):
        shown = ("s => { const t = s.closest('.pick').nextElementSibling; return t.matches("
                 "'.figures') ? t.querySelectorAll('figure:not([hidden])').length : "
                 "t.querySelectorAll('tbody tr:not([hidden])').length }")
        options = select.evaluate("s => Array.from(s.options).map(o => o.value)")
        first = select.input_value()
        seen = set()
        for option in options:
            select.select_option(value=option)
            seen.add(select.evaluate(shown))
        check(len(seen) > 1 or options[-1] == "all" or len(options) < 3 or 0 not in seen,
              f"a list changes what is shown: {options[:4]}")
        select.select_option(value=first)
        count["lists"] = count.get("lists", 0) + 1
    for term in page.query_selector_all("a.term")[:12]:
        if not term.is_visible():
            continue
        term.focus()
        check(page.locator("#tip").is_visible() and len(page.locator("#tip").inner_text()) > 10,
              "a focused term is explained")
        page.keyboard.press("Escape")
        check(not page.locator("#tip").is_visible(), "escape hides an explanation")
        count["terms"] = count.get("terms", 0) + 1
    for link in page.query_selector_all("a.get")[:4]:
        if link.is_visible():
            with page.expect_download() as download:
                link.click()
            check(download.value.path().stat().st_size > 20, "a download holds something")
            count["downloads"] = count.get("downloads", 0) + 1
    return count


PICK = """() => Array.from(document.querySelectorAll('.pick')).map(bar => {
    const wide = bar.nextElementSibling, rows = wide.querySelectorAll('tbody tr');
    if (!rows.length)
        return true;
    bar.querySelectorAll('select').forEach(s => {
        s.value = s.options[1].value;
        s.dispatchEvent(new Event('change'));
    });
    const seen = Array.from(rows).filter(r => r.getClientRects().length);
    return seen.every(r => !r.hidden) &&
           (seen.length > 16 || wide.scrollWidth <= wide.clientWidth);
})"""


def phone(page):
    """A choice hides rows, and what few are left does not scroll sideways."""
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    good = page.evaluate(PICK)
    check(good and all(good), f"picked rows are cards on a phone: {good}")


with sync_playwright() as play:
    browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    for width in (390, 768, 1280):
        for scheme in ("light", "dark"):
            page = opened(browser, width, scheme)
            looks(page, f"{width}-{scheme}")
            passed = axe(page, f"{width} {scheme}")
            print(f"{width} {scheme}: {passed} rules of axe passed")
            if width == 390:
                phone(page)
            page.context.close()
    page = opened(browser, 1280, "light", scale=2)
    looks(page, "1280-zoomed")
    page.context.close()
    page = opened(browser, 1280, "light", script=False)
    page.screenshot(path=pictures / "no-script.png", full_page=True)
    check(page.locator("figure:visible").count() == page.locator("figure").count(),
          "without script every figure is there")
    check(page.locator("td:visible").count() == page.locator("td").count(),
          "without script every cell is there")
    page.context.close()
    page = opened(browser, 1280, "light")
    print("controls:", controls(page))
    figures = page.locator("figure").count()
    check(page.locator("figure img:not([alt=''])").count() == page.locator("figure img").count(),
          "every picture has a text")
    page.pdf(path=pictures / "page.pdf", prefer_css_page_size=True)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 703, "height": 1000})  # A4 less its margins
    check(page.locator("figure:visible").count() == figures, "in print every figure is there")
    check(page.locator("td:visible").count() == page.locator("td").count(),
          "in print every cell is there")
    check(not (w := page.evaluate(WIDER.replace("&& !e.closest('.wide')", ""))),
          f"in print wider than the paper: {w}")
    browser.close()
size = page_file.stat().st_size
print(f"{size / 1e6:.2f} MB, {figures} figures")
check(size < 5e6, "under 5 MB")
sys.exit(1 if failures else 0)
