"""Turns as chat templates mark them, where a server does not know its model's template and leaves the marks in the text.

Only the assistant's are the answer. What the model makes up of a tool, of the system or of the shop's program between them is
nobody's words, and with a turn of the customer's the answer is over.

<|im_start|>tool (ChatML: Qwen, OLMo), <|start_header_id|>ipython<|end_header_id|> (Llama), <start_of_turn>user and <|turn>tool
(Gemma), <|start_of_role|>tool<|end_of_role|> (Granite), <|im_system|>tool<|im_middle|> (Kimi), <|observation|> (GLM), <|hy_User|>
(Hunyuan), <|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|> (Cohere), [|tool|] (EXAONE), <|bom|><|tool|> (Jamba), DeepSeek's with bars of
its own, <|start|>functions.search to=assistant (Harmony), ### Instruction: (Alpaca).
"""

from __future__ import annotations

import re

#: What templates and models call the customer.
USERS = (
    *("user", "human", "customer", "kunde", "kundin", "nutzer", "usuario", "cliente", "utilisateur", "utente", "gebruiker"),
    *("пользователь", "用户", "ユーザー", "사용자"),
)
_OWN = ("assistant", "model", "chatbot")
#: Neither the customer nor the model.
_OTHERS = (
    *("tool", "tools", "tool_response", "tool_responses", "tool_result", "tool_results", "function", "functions"),
    *("system", "developer", "ipython", "environment", "observation", "documents"),
)

#: What ends a turn for the model, where a server does not know it and leaves it in the text.
ENDS = (
    *(
        f"<|{name}|>"
        for name in ("im_end", "eot_id", "eom_id", "eot", "eom", "end", "return", "endoftext", "end_of_text", "end_of_turn")
    ),
    *("<|endofturn|>", "<|eos|>", "<|end_of_turn_token|>", "<|observation|>", "[|endofturn|]", "<end_of_turn>", "<turn|>"),
    *("<eos>", "<end_of_utterance>", "</s>", "[/inst]", "<｜end▁of▁sentence｜>"),
)
#: Marks that a role's name stands behind, and those that end the name.
_OPENS = (
    *("<|im_start|>", "<|start_header_id|>", "<|start_of_role|>", "<start_of_turn>", "<|turn>"),
    *("<|im_user|>", "<|im_system|>", "<|im_assistant|>"),
)
_CLOSES = ("<|end_header_id|>", "<|end_of_role|>", "<|im_middle|>", "<|plugin|>")
#: Marks that are a role's name, and what stands before some of them.
_NAMED = (
    *("user", "assistant", "system", "tool", "developer", "ipython", "environment"),
    *("user_token", "system_token", "chatbot_token", "hy_user", "hy_assistant"),
)
_BEFORE_NAMED = ("<|bom|>", "<|start_of_turn_token|>")
#: All of them, in small letters: what a text that comes in pieces may end with the beginning of.
MARKS = (
    *(*_OPENS, *_CLOSES, *_BEFORE_NAMED, "<|start|>", "<｜user｜>", "<｜assistant｜>", "[inst]"),
    *(f"{opens}|{name}|{closes}" for opens, closes in ("<>", "[]") for name in _NAMED),
)


def _any_of(names: tuple[str, ...]) -> str:
    return rf"(?:{'|'.join(map(re.escape, names))})"


ANY_END = _any_of(ENDS)
#: One that may stand before a mark that begins a turn.
_ENDED = rf"(?:{ANY_END}\s{{0,9}})"
#: What begins a turn, with the ends of the one before it.
MARK = re.compile(
    rf"{_ENDED}{{0,9}}(?:"
    rf"{_any_of(_OPENS)}\s{{0,9}}(?P<opened>{_any_of((*USERS, *_OWN, *_OTHERS))})\b"
    rf"(?:[^\n<]{{0,80}}(?:{_any_of(_CLOSES)}|(?=\n)|\Z))?"
    rf"|{_any_of(_BEFORE_NAMED)}?[<\[][|｜](?P<barred>{_any_of(_NAMED)}|observation(?=\|>[^\S\n]*\n\s*\S))[|｜][>\]]"
    r"|<\|start\|>\s{0,9}(?P<started>user|functions\.\w+|tool|system|developer)[^<]{0,80}(?:<\|channel\|>[^<]{0,40})?<\|message\|>"
    r"|^\#\#\#[^\S\n]?(?P<headed>instruction|human|response|assistant)[^\S\n]?:[^\S\n]*$"
    r"|(?<=</s>)(?:\s{0,9}<s>)?\s{0,9}\[(?P<instructed>INST)\])"
    rf"|{_ENDED}{{1,9}}(?P<bare>{_any_of((*USERS, *_OTHERS))})\s{{0,9}}[:：\n]",
    re.I | re.M,
)
#: The end of a text that may yet become one: a name is not whole before its line or its mark ends.
_BEGUN = re.compile(
    rf"{_ENDED}{{0,9}}(?:{_any_of(_OPENS)}[^\n<]{{0,150}}|<\|start\|>[^<]{{0,100}}(?:<\|channel\|>[^<]{{0,40}})?|{_any_of(_BEFORE_NAMED)})\Z"
    rf"|{_ENDED}{{1,9}}(?P<bare>\w{{1,14}})\s{{0,9}}\Z"
    r"|^\#{1,3}(?:(?<=\#\#\#)[^\S\n]?(?P<headed>[a-z]{0,11})[^\S\n]?:?[^\S\n]*)?\Z",
    re.I | re.M,
)
_BARE = tuple(map(str.casefold, (*USERS, *_OTHERS)))
_HEADS = ("instruction", "human", "response", "assistant")


def own(text: str) -> tuple[str, bool]:
    """The model's turns in a text, and whether what may follow is the model's as well."""
    said, is_own, begin = list[str](), True, 0
    for mark in MARK.finditer(text):
        said += [text[begin : mark.start()]] if is_own else []
        role = mark[mark.lastgroup or 0].casefold().removesuffix("_token").removeprefix("hy_")
        begin, is_own = mark.end(), not (_is_users(role) or role.partition(".")[0] in _OTHERS)
        if _is_users(role) and "".join(said).strip():
            return _joined(said), False
    if not begin:
        return text, True
    return _joined([*said, text[begin:]] if is_own else said), is_own


def _is_users(role: str) -> bool:
    return role in (*USERS, "instruction", "inst")


def _joined(turns: list[str]) -> str:
    return "\n\n".join(filter(None, map(str.strip, turns)))


def may_begin(text: str) -> int | None:
    """Where the end of a text begins that may yet become the mark of a turn; None if there is no such end."""
    begun = _BEGUN.search(text)
    if begun is None:
        return None
    name, names = (begun["bare"], _BARE) if begun["headed"] is None else (begun["headed"], _HEADS)
    return begun.start() if not name or any(known.startswith(name.casefold()) for known in names) else None
