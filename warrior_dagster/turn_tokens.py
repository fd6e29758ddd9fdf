"""Special tokens with which published chat templates frame turns, for texts whose reader's own template is unknown.

As regular expressions for any engine. The first group is the token without its last character: a space after it breaks the
token. Case counts, as it does in tokenizers.
"""

ANGLED = (
    r"(<[|｜][^<>|｜\s]{1,64}[|｜]"  # ChatML, Llama 3, Phi, Qwen, gpt-oss, Granite, Command; DeepSeek has fullwidth lines
    r"|<\|\w{1,40}|<\w{1,40}\|"  # Gemma 4
    r"|<</?SYS>|</?(?:s|bos|eos|sop|eop|start_of_turn|end_of_turn)"  # Llama 2, Gemma, GLM
    r"|</?seed:[a-z_]{1,40}|<[A-Z_]{1,40}_TOKEN)>"  # Seed, Command
)
SQUARE = r"(\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|THINK)|\[(?:gMASK|BOS|EOS))\]"
"""Llama 2, Mistral, GLM, Kimi."""
