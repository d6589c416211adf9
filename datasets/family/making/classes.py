#!/usr/bin/env python3
"""What transformers' config classes take where a config.json says nothing.

    classes.py > ../classes.c        (needs transformers 5.24; run clang-format after it)

One row for each class of a decoder: the keys that shape its cache and their defaults,
older names of keys, and for a model that holds a text model, whose class that has.
Facts only: names and numbers of the classes' fields. Keys whose default is a list of
one entry a layer are left out: layer_rules.c has the rule behind the list.
"""

import dataclasses
import inspect
import json
import os
import re
import sys

import transformers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as IMAGE_TEXT)

ENCODERS = set("""bart bert bert-generation big_bird bigbird_pegasus blenderbot
    blenderbot-small blip_text_model camembert data2vec-text electra ernie git marian
    mbart megatron-bert moss_transcribe_diarize musicgen musicgen_melody mvp openai-gpt
    pegasus pix2struct_text_model plbart pp_formulanet_text prophetnet reformer rembert
    roberta roberta-prelayernorm roc_bert roformer trocr udop whisper xlm xlm-roberta
    xlm-roberta-xl xlnet xmod blt cpmant xlstm fuyu got_ocr2 mllama
    cohere_asr canary_decoder kosmos_2_text_model kosmos_2_5_text_model gemma4_assistant
    gemma4_unified_assistant t5_gemma_module t5gemma2_decoder t5gemma2_text
    unlimited_ocr_text diffusion_gemma_text embedding_gemma2_text""".split())
SHAPE = re.compile(
    "layer|head|hidden_size|kv|dim|window|rank|chunk|conv|state|ssm|mamba|linear|index|"
    "share|swa|global|interval|pattern|period|offset|ratio|compress|loop|_ut_|stack|"
    "n_embd|multi_query|new_decoder|attention_type|group|expand|cycle|sparse|lru|block_t|"
    "recurrent|cla_|intermediate_size$|vocab_size|bidirectional|k_eq_v|shortcut|ple_")
OTHER = re.compile(
    "dropout|bias|eps|layer_norm|layernorm|mlp_layer|moe|expert|drop|_act|initializer|"
    "output_|chunk_size_feed|^rope|rope_p|rope_i|rope_s|rope_t|attn_implementation|qk_layernorm|softcap|router|score|"
    "vision|audio|image|pretraining|topk_group|n_group$|num_expert_group|first_k|jitter|auto_map|"
    "_multiplier|time_step|use_mamba|use_fast|gate_|norm_|limits|pad_|a_log|dt_m|dt_i|"
    "use_mambapy|residual|token_id|token_index|query_pre|activation|_topk|swiglu|hash|"
    "laurel|ngram|negative|lower_bound|gated_norm|attn_res|embed_dim|word_embed|kpool|"
    "cross_attn|mla_use|hidden_states|adapter|group_norm|rescale|bp_cycles|prediction")


# What a class takes from a config.json in its code alone.
POPPED = {"bloom": "n_embed=hidden_size"}


def parts_of(name):
    """A list of strings in facts.c, so that both sides look for the same."""
    path = os.path.join(os.path.dirname(__file__), "..", "facts.c")
    body = re.search(name + r"\[\] = \{(.*?)\};", open(path).read(), re.S).group(1)
    return re.findall(r'"([^"]+)"', body)


def known_keys(config, kept):
    """Names of the class's fields and of what its code takes from a config.json."""
    cls = type(config)
    names = set(config.to_dict()) | set(cls.__dataclass_fields__)
    names |= set(getattr(config, "attribute_map", None) or {})
    source = inspect.getsource(cls)
    names |= set(re.findall(r"kwargs\.(?:pop|get)\(\s*\"(\w+)\"", source))
    telling, soothing = parts_of("telling"), parts_of("soothing")
    return " ".join(sorted(
        n for n in names - set(kept)
        if any(t in n.lower() for t in telling)
        and not any(s in n.lower() for s in soothing)))


def quoted(text, indent):
    lines = []
    while text:
        cut = text.rfind(" ", 0, 72) + 1 if len(text) > 72 else len(text)
        lines.append(f'{" " * indent}"{text[:cut]}"')
        text = text[cut:]
    return "\n".join(lines)


def text_class(config):
    text = config.get_text_config(decoder=True)
    return None if text is config else text.model_type


def rope_defaults(config):
    """The base of RoPE, and its parameters where they are more than a base."""
    rope = getattr(config, "rope_parameters", None)
    found = {}
    if not isinstance(rope, dict) or not rope:
        return found
    if any(isinstance(v, dict) for v in rope.values()):
        found["default_rope_parameters"] = rope
    elif rope.get("rope_type", "default") != "default" or set(rope) - {
            "rope_type", "rope_theta", "partial_rotary_factor"}:
        found["default_rope_parameters"] = rope
    else:
        found["default_rope_theta"] = rope["rope_theta"]
        if rope.get("partial_rotary_factor", 1.0) != 1.0:
            found["default_partial_rotary_factor"] = rope["partial_rotary_factor"]
    return found


def shape_defaults(config):
    """As the class has them, before __post_init__ derives one from another."""
    kept = {}
    for key, field in type(config).__dataclass_fields__.items():
        if not SHAPE.search(key) or OTHER.search(key) or key == "per_layer_config":
            continue
        value = field.default
        if field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        if value is dataclasses.MISSING or hasattr(value, "to_dict"):
            continue
        if isinstance(value, list) and (len(value) > 8 or key == "layer_types"):
            continue
        kept[key] = list(value) if isinstance(value, tuple) else value
    return kept | rope_defaults(config)


def main():
    transformers.logging.set_verbosity_error()
    rows, texts = {}, {}
    for model_type, cls in CONFIG_MAPPING.items():
        try:
            config = cls()
            text = text_class(config)
        except Exception:  # needs parts that have no default
            continue
        if text and model_type != text:
            texts[model_type] = text
        if model_type in ENCODERS or text:
            continue
        if cls in AutoModelForCausalLM._model_mapping:
            rows[model_type] = config
    for model_type in list(texts):
        text = texts[model_type]
        if text in rows:
            continue
        if model_type in IMAGE_TEXT and text in CONFIG_MAPPING and text not in ENCODERS:
            rows[text] = CONFIG_MAPPING[text]()
    out = [
        "/* Written by making/classes.py from transformers "
        f"{transformers.__version__}; do not edit. */",
        '#include "datasets/family/class.h"', "", "/* clang-format off */",
        "const mls_class mls_classes[] = {"]
    for model_type in sorted(set(rows) | {m for m, t in texts.items() if t in rows}):
        text = texts.get(model_type) if model_type not in rows else None
        fields = [f'.model_type = "{model_type}"']
        if text:
            fields.append(f'.text = "{text}"')
        else:
            config = rows[model_type]
            kept = shape_defaults(config)
            defaults = json.dumps(kept, default=str).replace('"', "'")
            names = " ".join(f"{new}={old}" for old, new in sorted(
                (getattr(config, "attribute_map", None) or {}).items())
                if SHAPE.search(old) and not OTHER.search(old))
            names = " ".join(filter(None, [names, POPPED.get(model_type)]))
            knows = known_keys(config, kept)
            fields.append(".defaults =\n" + quoted(defaults, 9))
            if names:
                fields.append(".names =\n" + quoted(names, 9))
            if knows:
                fields.append(".knows =\n" + quoted(knows, 9))
        out.append("    {" + ",\n     ".join(fields) + "},")
    out += ["};", "/* clang-format on */", "",
            "const size_t mls_classes_n = sizeof mls_classes / sizeof mls_classes[0];"]
    print("\n".join(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
