/* Sorts, filters, picks, folds and explains. The page is whole without it. */
(function () {
    "use strict";

    function all(root, selector) {
        return Array.prototype.slice.call(root.querySelectorAll(selector));
    }

    function make(tag, attributes, text) {
        var e = document.createElement(tag);
        Object.keys(attributes).forEach(function (k) { e.setAttribute(k, attributes[k]); });
        if (text)
            e.textContent = text;
        return e;
    }

    /* A labelled list to pick from; each option is [value, text]. */
    function picker(label, options, changed) {
        var l = make("label", {}, label + " "), s = make("select", {});
        options.forEach(function (o) { s.appendChild(make("option", {value: o[0]}, o[1])); });
        s.addEventListener("change", function () { changed(s.value); });
        l.appendChild(s);
        return l;
    }

    function number(text) {
        return parseFloat(text.replace(/^-$/, "x"));
    }

    /* Numbers by size, names by letters, empty cells last. */
    function order(a, b) {
        var x = number(a), y = number(b);
        if (isNaN(x) && isNaN(y))
            return a.localeCompare(b, "en");
        if (isNaN(x) || isNaN(y))
            return isNaN(x) ? 1 : -1;
        return x - y;
    }

    function cell(row, i) {
        return row.cells[i].textContent;
    }

    /* Cells left empty say the same as the one above; sorted rows stand alone. */
    function fill(rows) {
        rows.forEach(function (row, r) {
            all(row, "td.text").forEach(function (td) {
                if (r && !td.textContent)
                    td.textContent = cell(rows[r - 1], td.cellIndex);
            });
        });
    }

    function sortable(table) {
        var heads = all(table, "thead th"), body = table.tBodies[0];
        if (body.rows.length === 1)
            return;
        heads.forEach(function (th, i) {
            var name = th.textContent;
            var b = make("button", {type: "button", "class": "sort",
                                    "aria-label": "sort by " + name}, "\u21c5");
            b.addEventListener("click", function () {
                var up = th.getAttribute("aria-sort") !== "ascending";
                var rows = all(body, "tr");
                fill(rows);
                rows.sort(function (a, c) {
                    var x = cell(a, i), y = cell(c, i);
                    var empty = (x === "-") - (y === "-");
                    return empty || (up ? order(x, y) : order(y, x));
                });
                rows.forEach(function (row) { body.appendChild(row); });
                heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
                th.setAttribute("aria-sort", up ? "ascending" : "descending");
                b.textContent = up ? "\u2191" : "\u2193";
            });
            th.appendChild(document.createTextNode("\u00a0"));
            th.appendChild(b);
        });
    }

    var named = {served_by: "served by", method: "method", layer: "layer",
                 kv_head: "KV head", head: "head", matrix: "matrix", kind: "of",
                 rule: "rule", cache: "cache", gpu: "GPU", context: "context", batch: "sequences",
                 quantizer: "quantizer"};

    function filtered(table) {
        var rows = all(table, "tbody tr"), wanted = {}, bar = make("div", {"class": "pick"});
        var said = make("span", {role: "status"});
        var heads = all(table, "thead th").map(function (th) { return th.textContent; });

        /* Few rows are a card each on a phone, as in tables that are short from the start. */
        function asCards(few) {
            if (few && !all(table, "td[data-head]").length)
                rows.forEach(function (row) {
                    all(row, "td").forEach(function (td, i) {
                        td.setAttribute("data-head", heads[i]);
                    });
                });
            table.classList.toggle("cards", few);
        }

        function apply() {
            var shown = 0;
            rows.forEach(function (row) {
                row.hidden = !Object.keys(wanted).every(function (i) {
                    return wanted[i](cell(row, i));
                });
                shown += !row.hidden;
            });
            asCards(shown <= 16);
            said.textContent = shown === rows.length ? ""
                : shown + " of " + rows.length + " rows";
        }

        if (rows.length <= 8)
            return;
        fill(rows);
        all(table, "thead th").forEach(function (th, i) {
            var key = th.getAttribute("data-key"), values = {}, options;
            if (key === "kept_percent") {
                bar.appendChild(picker("keeps at most", [["", "any"], ["12.5", "12.5 %"],
                    ["25", "25 %"], ["50", "50 %"], ["100", "100 %"]], function (v) {
                    wanted[i] = function (text) { return !v || number(text) <= +v + 0.005; };
                    apply();
                }));
                return;
            }
            if (!named[key])
                return;
            rows.forEach(function (row) { values[cell(row, i)] = true; });
            options = Object.keys(values).map(function (v) { return [v, v]; });
            if (options.length === 1)
                return;
            options.unshift(["", "all"]);
            bar.appendChild(picker(named[key], options, function (v) {
                wanted[i] = function (text) { return !v || text === v; };
                apply();
            }));
        });
        if (!bar.childNodes.length)
            return;
        bar.appendChild(said);
        table.parentNode.parentNode.insertBefore(bar, table.parentNode);
    }

    all(document, "main table").forEach(function (table) {
        filtered(table);
        sortable(table);
    });

    /* Figures of which one is picked. */
    all(document, ".figures").forEach(function (group) {
        var kinds = {};
        all(group, "figure[data-choice]").forEach(function (f) {
            var kind = f.getAttribute("data-choice");
            (kinds[kind] = kinds[kind] || []).push(f);
        });
        Object.keys(kinds).forEach(function (kind) {
            var figures = kinds[kind], bar = make("div", {"class": "pick"}), options;
            function show(v) {
                figures.forEach(function (f) {
                    f.hidden = v !== "all" && f.getAttribute("data-value") !== v;
                });
            }
            if (figures.length === 1)
                return;
            options = figures.map(function (f) {
                var v = f.getAttribute("data-value");
                return [v, v];
            });
            options.push(["all", "all"]);
            bar.appendChild(picker(kind, options, show));
            group.parentNode.insertBefore(bar, group);
            show(options[0][0]);
        });
    });

    /* A picture as it is. */
    all(document, "figure img").forEach(function (img) {
        var csv = img.parentNode.querySelector("a.get"), name, end;
        if (!csv)
            return;
        name = csv.getAttribute("download").replace(/csv$/, "");
        end = /^data:image\/png/.test(img.src) ? "png" : "svg";
        csv.parentNode.appendChild(make("a", {"class": "get", download: name + end,
            href: img.src}, end.toUpperCase()));
    });

    /* Long tables are folded on a screen, and open on paper. */
    var folded = all(document, "details");
    folded.forEach(function (d) { d.open = false; });
    window.addEventListener("beforeprint", function () {
        folded.forEach(function (d) { d.open = true; });
    });

    /* Terms say what they mean beside the pointer, the focus or the finger. */
    var tip = make("div", {id: "tip", role: "tooltip"}), shown = null, touched = false;
    tip.hidden = true;
    document.body.appendChild(tip);

    function hide() {
        if (shown)
            shown.removeAttribute("aria-describedby");
        shown = null;
        tip.hidden = true;
    }

    function show(term) {
        var dd = document.getElementById(term.getAttribute("href").slice(1))
                     .nextElementSibling;
        var r = term.getBoundingClientRect(), w = document.documentElement.clientWidth;
        hide();
        tip.innerHTML = dd.innerHTML;
        tip.hidden = false;
        term.setAttribute("aria-describedby", "tip");
        tip.style.left = Math.max(8, Math.min(r.left, w - tip.offsetWidth - 8)) +
            window.pageXOffset + "px";
        tip.style.top = r.bottom + 6 + window.pageYOffset + "px";
        shown = term;
    }

    all(document, "a.term").forEach(function (term) {
        term.addEventListener("mouseenter", function () { show(term); });
        term.addEventListener("mouseleave", hide);
        term.addEventListener("focus", function () { show(term); });
        term.addEventListener("blur", hide);
        term.addEventListener("pointerdown", function (e) {
            touched = e.pointerType === "touch";
        });
        term.addEventListener("click", function (e) {
            if (!touched)
                return;
            e.preventDefault();
            show(term);
        });
    });
    document.addEventListener("keydown", function (e) {
        if (e.key === "Escape")
            hide();
    });
}());
