"""Text -> LaTeX that prints it: whatever a label, a title or a reason holds, nothing in it is obeyed."""

from __future__ import annotations

import re
import unicodedata

_NAMED = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    '"': r"\char34{}",  # \textquotedbl is not in every encoding
    "\N{NO-BREAK SPACE}": "~",
    "\N{THIN SPACE}": r"\,",
    "\N{NARROW NO-BREAK SPACE}": r"\,",
    "‐": "-",
    "‑": "-",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "…": r"\dots{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "©": r"\copyright{}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "£": r"\pounds{}",
    "\N{REPLACEMENT CHARACTER}": "[?]",
}
_MATHS = {
    "<": "<",
    ">": ">",
    "|": "|",
    "\N{MINUS SIGN}": "-",
    "±": r"\pm",
    "×": r"\times",
    "·": r"\cdot",
    "÷": r"\div",
    "°": r"^{\circ}",
    "µ": r"\mu",
    "¬": r"\neg",
    "†": r"\dagger",
    "‡": r"\ddagger",
    "•": r"\bullet",
    "′": r"^{\prime}",
    "ℓ": r"\ell",
    "←": r"\leftarrow",
    "↑": r"\uparrow",
    "→": r"\rightarrow",
    "↓": r"\downarrow",
    "↔": r"\leftrightarrow",
    "↦": r"\mapsto",
    "⇒": r"\Rightarrow",
    "⇔": r"\Leftrightarrow",
    "∀": r"\forall",
    "∂": r"\partial",
    "∃": r"\exists",
    "∅": r"\emptyset",
    "∇": r"\nabla",
    "∈": r"\in",
    "∉": r"\notin",
    "∏": r"\prod",
    "∑": r"\sum",
    "∗": r"\ast",
    "∘": r"\circ",
    "√": r"\surd",
    "∝": r"\propto",
    "∞": r"\infty",
    "∥": r"\parallel",
    "∧": r"\wedge",
    "∨": r"\vee",
    "∩": r"\cap",
    "∪": r"\cup",
    "∫": r"\int",
    "∼": r"\sim",
    "≃": r"\simeq",
    "≈": r"\approx",
    "≠": r"\neq",
    "≡": r"\equiv",
    "≤": r"\leq",
    "≥": r"\geq",
    "≪": r"\ll",
    "≫": r"\gg",
    "⊂": r"\subset",
    "⊆": r"\subseteq",
    "⊕": r"\oplus",
    "⊗": r"\otimes",
    "⊥": r"\perp",
    "⋅": r"\cdot",
    "⋆": r"\star",
    "✓": r"\surd",
    "✗": r"\times",
    "⟨": r"\langle",
    "⟩": r"\rangle",
    "‖": r"\|",
}
_ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327", "`'^~=u.\"rHvc", strict=True)
)
_DOTLESS = {"i": r"\i", "j": r"\j"}
_GREEK = """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma varsigma tau upsilon
phi chi psi omega"""
_CAPITALS = {"gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega"}
"""Greek capitals that look like no Latin ones."""

# Two of these make another character (-- a dash, ?` an inverted question mark) unless something stands between them.
_LIGATURE = re.compile(r"(?<=[-',`])(?=[-',`])|(?<=[?!])(?=`)")


def escape(text: str) -> str:
    """Return LaTeX that prints ``text`` on one line; a character that plain pdfLaTeX lacks becomes its number.

    >>> print(escape("50 % of x_1 ≥ σ², e.g. Gödel & 漢"))
    50 \\% of x\\_1 $\\geq$ $\\sigma$$^{2}$, e.g. G\\"{o}del \\& [U+6F22]
    """
    parts = _LIGATURE.split(" ".join(text.split()))
    return "{}".join("".join(map(_character, part)) for part in parts)


def _character(char: str) -> str:
    if char in "&%$#_{}":
        return f"\\{char}"
    if char in _NAMED:
        return _NAMED[char]
    if char in _MATHS:
        return f"${_MATHS[char]}$"
    if " " <= char <= "~":
        return char
    return _greek(char) or _raised(char) or _accented(char) or f"[U+{ord(char):04X}]"


def _greek(char: str) -> str:
    kind, _, rest = unicodedata.name(char, "").partition(" LETTER ")
    letter = {"lamda": "lambda", "final sigma": "varsigma"}.get(rest.lower(), rest.lower())
    if kind == "GREEK SMALL" and letter in _GREEK.split():
        return rf"$\{letter}$"
    return rf"$\{letter.title()}$" if kind == "GREEK CAPITAL" and letter in _CAPITALS else ""


def _raised(char: str) -> str:
    """Return the digit or sign that stands above or below the line."""
    kind, _, plain = unicodedata.decomposition(char).partition(" ")
    sign = {"<super>": "^", "<sub>": "_"}.get(kind)
    if sign is None or " " in plain:
        return ""
    base = chr(int(plain, 16)).replace("\N{MINUS SIGN}", "-")
    return f"${sign}{{{base}}}$" if base.isascii() and (base.isalnum() or base in "+-=()") else ""


def _accented(char: str) -> str:
    parts = unicodedata.normalize("NFD", char)
    letter, accent = parts[0], parts[1:]
    if accent not in _ACCENTS or not (letter.isascii() and letter.isalpha()):
        return ""
    return rf"\{_ACCENTS[accent]}{{{_DOTLESS.get(letter, letter)}}}"
