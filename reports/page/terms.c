/*
 * A page that is mailed around meets readers who know half of its words. Each is
 * explained where it stands: text links to the glossary at the end, which works without
 * a script and on paper; the page's script shows the same words beside the pointer.
 */
#include "reports/page/terms.h"

#include <ctype.h>
#include <string.h>

#include "reports/page/html.h"

const mls_term mls_terms[] = {
    {"kl", "KL", "KL",
     "Distance of the converted model's next-token distribution from the original's; 0 "
     "is no loss. Below 0.01 it is hard to notice, above 0.5 much has to be learned "
     "again.",
     "mean over positions of sum_v p(v) ln(p(v) / p'(v)), in nat; p: original, p': "
     "converted",
     "latent.md"},
    {"interval", "±|95 % interval|95 % intervals", "95 % interval (±)",
     "How far the figure may move on other text of the same kind.",
     "t(0.975, N-1) s / sqrt(N), s: standard deviation over the N windows",
     "latent.md"},
    {"perplexity", "perplexity", "perplexity",
     "How many tokens the model hesitates between, on average; lower is better.",
     "exp(mean over positions of -ln p(next token))", "latent.md"},
    {"kept", "kept", "kept",
     "What is left of the model's own 16-bit cache, with scales and windows counted.",
     "100 x bytes per token of this cache / bytes per token of the model's own",
     "size.md"},
    {"cache", "cache|B/token", "cache (KV cache)",
     "What a server keeps of every token so that later ones can attend to it.",
     "sum over layers of the numbers cached x bits / 8; a plain layer caches 2 G D "
     "numbers",
     "size.md"},
    {"payload", "payload|payload kept", "payload",
     "Codes alone, without scales, zero points and windows: what papers print.",
     "sum over parts of count x n x bits of a code", "size.md"},
    {"served-by", "served by|class", "served by",
     "Whose code can run this form. Only settings of one class are alternatives.", NULL,
     "serving.md"},
    {"top1", "same top-1", "same top-1",
     "How often the most probable next token stays the same.",
     "100 x share of positions with argmax p = argmax p'", "latent.md"},
    {"chunk", "chunk|chunks|RoPE chunks", "chunk",
     "A pair of dims of a head that RoPE turns together, at a speed of its own.",
     "dims (c, c + D/2); it turns by theta^(-2c/D) per token", "frequency.md"},
    {"wavelength", "wavelength|wavelengths", "wavelength",
     "Tokens after which a chunk has turned once.", "2 pi theta^(2c/D)",
     "frequency.md"},
    {"score", "2-norm score|2-norm", "2-norm score",
     "How much a chunk can add to attention scores (MHA2MLA's rule).",
     "sum over the group's query heads of mean |q_c| x mean |k_c|", "frequency.md"},
    {"score-error", "score error", "score error",
     "How far attention scores move when the other chunks lose their rotation.",
     "mean over causal pairs of |sum of rho_c, c not kept|", "frequency.md"},
    {"latent", "latent|latents", "latent",
     "The few numbers per token that keys and values are read back from.",
     "c = W_down x", "lowrank.md"},
    {"rank", "rank|ranks", "rank",
     "How many numbers a latent has. The setting's word: per layer in kq, TransMLA and "
     "X-EcoMLA, per KV head in MHA2MLA.",
     NULL, "lowrank.md"},
    {"rank-p", "90 %|95 %|99 %|rank at 95 %", "rank at 95 %",
     "How many directions hold that much of the energy.",
     "the smallest R with sum_(i<=R) sigma_i^2 >= 0.95 sum sigma_i^2", "spectrum.md"},
    {"effective-rank", "effective rank", "effective rank",
     "How many directions are in use, counted smoothly.",
     "exp(-sum p_i ln p_i), p_i = sigma_i^2 / sum sigma^2", "spectrum.md"},
    {"stable-rank", "stable rank", "stable rank",
     "Energy of all directions in units of the first.", "sum sigma^2 / sigma_1^2",
     "spectrum.md"},
    {"energy", "energy", "energy", "The square of a singular value.", "sigma_i^2",
     "spectrum.md"},
    {"singular-value", "singular value|singular values", "singular value",
     "How much a direction of a matrix counts; few large ones mean that a low rank "
     "is enough.",
     "W = sum_i sigma_i u_i v_i^T", "spectrum.md"},
    {"rope-key", "rope key|rope keys|RoPE", "RoPE and rope keys",
     "Rotation of queries and keys by their position. A rope key is the part of a key "
     "that stays rotated beside the latent.",
     NULL, "conversions.md"},
    {"mla", "MLA|multi-head latent attention", "MLA",
     "Multi-head latent attention (DeepSeek): a token is cached as one latent and one "
     "rope key for all heads.",
     NULL, "conversions.md"},
    {"gqa", "GQA|grouped-query|MHA|multi-head|MQA", "MHA, GQA, MQA",
     "A key and value per query head, per group of query heads, one for all.", NULL,
     "size.md"},
    {"gqla", "GQLA", "GQLA",
     "MLA whose up-projections belong to groups: the same weights run as one latent or "
     "read back per group.",
     NULL, "serving.md"},
    {"absorbed", "absorbed", "absorbed",
     "Up-projections multiplied into queries and outputs, so that attention runs on "
     "latents themselves.",
     NULL, "latent.md"},
    {"kq", "kq", "kq",
     "This program's method: the basis in which keys of real text lose least, keys "
     "rotated after they are read back.",
     NULL, "lowrank.md"},
    {"window", "window|windows", "window",
     "A stretch of tokens that is scored by itself; figures are means over windows.",
     NULL, "latent.md"},
    {"held-out", "held-out|held out", "held-out text",
     "Text that nothing was chosen or computed on.", NULL, "latent.md"},
    {"calibration", "calibration text", "calibration text",
     "Text whose statistics the methods are computed from.", NULL, "capture.md"},
    {"quantizer", "quantizer|quantizers|4-bit cache", "quantizer",
     "A format of fewer bits for cached numbers: int4/64 is four bits with a scale and "
     "a "
     "zero point for every 64.",
     NULL, "quantizers.md"},
    {"bits", "true bits|true figures|bits", "true bits",
     "Bits of the cache with scales, zero points and windows, over the numbers of the "
     "original cache.",
     "8 x bytes per token / (2 L G D)", "quantizers.md"},
    {"uniform", "uniform rank|the same rank", "uniform rank",
     "The same rank in every layer.", NULL, "plan.md"},
    {"predicted", "predicted KL", "predicted KL",
     "What losses of single layers, or of other settings, say of this one before it is "
     "run.",
     NULL, "plan.md"},
    {"plan", "plan reduces by", "what the plan saves",
     "How much lower the plan's KL is than this setting's.",
     "100 x (1 - KL of the plan / KL of the setting)", "plan.md"},
    {"attention-error", "attention error", "attention error",
     "What a layer's attention puts out, converted, against the original, each layer "
     "by "
     "itself.",
     "|o' - o|^2 / |o|^2, mean over layers", "latent.md"},
    {"spearman", "rank correlation|Spearman, all|at equal size", "rank correlation",
     "Do two orders agree? 1: the same order, 0: none, -1: reversed.",
     "Spearman: Pearson's correlation of the places", "compare.md"},
    {"jaccard", "Jaccard", "Jaccard index", "How much two choices share; 1: all.",
     "|A and B| / |A or B|", "frequency.md"},
    {"front", "front|none smaller and better", "front",
     "No other setting is as small and as near the original.", NULL, "compare.md"},
    {0},
};

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* Does `text` begin with this word, in any case, and does the word end there? */
static bool begins(const char *text, const char *word, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tolower((unsigned char)text[i]) != tolower((unsigned char)word[i]))
            return false;
    return !(in_word(word[n - 1]) && in_word(text[n])) && text[n] != '=' &&
           !(text[n] == '-' && in_word(text[n + 1])) &&
           !(text[n] == '.' && in_word(text[n + 1])) && text[n] != '/';
}

/* The longest word of any term that text begins with. @param[out] term  its index */
static size_t find(const char *text, size_t *term)
{
    size_t longest = 0;

    for (size_t i = 0; mls_terms[i].id; i++)
        for (const char *w = mls_terms[i].words; *w;) {
            const size_t n = strcspn(w, "|");

            if (n > longest && begins(text, w, n)) {
                longest = n;
                *term = i;
            }
            w += n + (w[n] == '|');
        }
    return longest;
}

void mls_terms_mark(mls_buf *out, const char *text, mls_terms_seen *seen)
{
    const char *from = text, *p = text;

    while (*p) {
        const bool start =
            p == text || !(in_word(p[-1]) || strchr("=-/_.", p[-1]) != NULL);
        size_t term = 0;
        const size_t n = start ? find(p, &term) : 0;

        if (!n || seen->term[term]) {
            p += n ? n : 1;
            continue;
        }
        mls_html_escape_some(out, from, (size_t)(p - from));
        mls_buf_printf(out, "<a class=\"term\" href=\"#term-%s\">", mls_terms[term].id);
        mls_html_escape_some(out, p, n);
        mls_buf_puts(out, "</a>");
        seen->term[term] = true;
        from = p += n;
    }
    mls_html_escape(out, from);
}

void mls_terms_glossary(mls_buf *out)
{
    mls_buf_puts(out, "<dl>\n");
    for (const mls_term *t = mls_terms; t->id; t++) {
        mls_buf_printf(out, "<dt id=\"term-%s\">", t->id);
        mls_html_escape(out, t->title);
        mls_buf_puts(out, "</dt>\n<dd>");
        mls_html_escape(out, t->means);
        if (t->formula) {
            mls_buf_puts(out, " <code>");
            mls_html_escape(out, t->formula);
            mls_buf_puts(out, "</code>");
        }
        if (t->where)
            mls_buf_printf(out, " <span class=\"where\">docs/methods/%s</span>",
                           t->where);
        mls_buf_puts(out, "</dd>\n");
    }
    mls_buf_puts(out, "</dl>\n");
}
