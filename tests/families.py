"""The families of chat templates in tests/chat_templates, each on a small tokenizer with the family's special tokens."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from warrior_dagster.inference.chat_template import ChatTemplate

TEMPLATES = Path(__file__).parent / "chat_templates"
LINES = ["def add(a, b):\n    return a + b", "Write a function that adds two numbers."]


def small_template(source: str, tokens: list[Any], bos: str | None, eos: str, **arguments: Any) -> ChatTemplate:
    """A template on byte-level BPE over a few lines of code; `tokens` are its special ones, in the order of their ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=tokens,
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, chat_template=source)
    return ChatTemplate(fast, arguments)


def special_tokens(template: ChatTemplate, text: str) -> list[int]:
    """The ids of the special tokens that the tokenizer finds in a text, in their order."""
    special = {index for index, token in template.tokenizer.added_tokens_decoder.items() if token.special}
    return [index for index in template.tokenizer(text, add_special_tokens=False)["input_ids"] if index in special]


def family(name: str, tokens: list[str], bos: str | None, eos: str, **arguments: Any) -> ChatTemplate:
    return small_template((TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8"), tokens, bos, eos, **arguments)


CHATML = (["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "<|endoftext|>", "<|im_end|>")
LLAMA = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
DEEPSEEK_BOS, DEEPSEEK_EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
HARMONY = ["<|startoftext|>", "<|endoftext|>", "<|return|>", "<|channel|>", "<|start|>", "<|end|>", "<|message|>", "<|call|>"]
GEMMA4 = ["<eos>", "<bos>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>"]
COHERE = [
    *("<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>"),
    *("<|CHATBOT_TOKEN|>", "<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
]
GLM = ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"]
KIMI = ["[BOS]", "<|im_end|>", "<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_middle|>"]
MAGISTRAL = ["<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]", "[/THINK]"]
FAMILIES = {
    "apriel": family("apriel", ["<s>", "<|end|>", "<|begin_user|>", "<|begin_assistant|>"], "<s>", "<|end|>"),
    "chatml": family("chatml", *CHATML),
    "command_a": family("command_a", COHERE, "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"),
    "deepseek_coder_v1": family("deepseek_coder_v1", [DEEPSEEK_BOS, "<|EOT|>"], DEEPSEEK_BOS, "<|EOT|>"),
    "deepseek_v2": family("deepseek_v2", [DEEPSEEK_BOS, DEEPSEEK_EOS], DEEPSEEK_BOS, DEEPSEEK_EOS),
    "deepseek_v31": family(
        "deepseek_v31", [DEEPSEEK_BOS, DEEPSEEK_EOS, "<｜User｜>", "<｜Assistant｜>"], DEEPSEEK_BOS, DEEPSEEK_EOS
    ),
    "gemma": family("gemma", ["<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"], "<bos>", "<eos>"),
    "gemma4": family("gemma4", GEMMA4, "<bos>", "<eos>", enable_thinking=True),
    "glm45": family("glm45", GLM, None, "<|endoftext|>"),
    "gpt_oss": family("gpt_oss", HARMONY, "<|startoftext|>", "<|return|>"),
    "kimi_k2": family("kimi_k2", KIMI, "[BOS]", "<|im_end|>"),
    "llama31": family("llama31", LLAMA, "<|begin_of_text|>", "<|end_of_text|>"),
    "magistral": family("magistral", MAGISTRAL, "<s>", "</s>"),
    "mistral": family("mistral", ["<s>", "</s>"], "<s>", "</s>"),
    "phi4": family("phi4", ["<|im_start|>", "<|im_sep|>", "<|im_end|>", "<|endoftext|>"], None, "<|im_end|>"),
    "qwen3": family("qwen3", *CHATML),
    "qwq": family("qwq", *CHATML),
    "seed_oss": family("seed_oss", ["<seed:bos>", "<seed:eos>", "<seed:think>", "</seed:think>"], "<seed:bos>", "<seed:eos>"),
}
