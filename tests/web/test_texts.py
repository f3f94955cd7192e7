"""Words of the pages: each key in both languages and used, the same holes, and how they are written."""

import re
from functools import cache

from gateway.web.files import FOLDER

APP = FOLDER / "app"
LANGUAGES = ("en", "de")
_TEXT = r"'(?:[^'\\\n]|\\.)*'"
SCREEN = re.compile(r"  (\w+): \{")
PLAIN = re.compile(rf"    (\w+): ({_TEXT}),")
PLURAL = re.compile(rf"    (\w+): \{{((?:\w+: {_TEXT}(?:, )?)+),?\}},")
HOLE = re.compile(r"\{(\w+)\}")
# A key as it stands in a file, whole or up to what is put in.
NAMED = re.compile(r"['\"`]([a-zA-Z]+\.[\w]*)(\$\{)?")


@cache
def words(language: str) -> dict[str, list[str]]:
    """The texts by `screen.name`: each line is one text, or one of its screen's ends."""
    found: dict[str, list[str]] = {}
    screen = ""
    for line in (APP / "text" / f"{language}.js").read_text().splitlines():
        if begins := SCREEN.fullmatch(line):
            screen = begins[1]
        elif plain := PLAIN.fullmatch(line):
            found[f"{screen}.{plain[1]}"] = [plain[2][1:-1]]
        elif plural := PLURAL.fullmatch(line):
            found[f"{screen}.{plural[1]}"] = [each[1:-1] for each in re.findall(_TEXT, plural[2])]
        else:
            assert line in ("  },", "};", "export default {", "") or line.lstrip().startswith("//"), line
    return found


def named() -> tuple[set[str], set[str]]:
    """Keys that the scripts name, and beginnings of such that are put together."""
    scripts = [path.read_text() for path in APP.rglob("*.js") if path.parent.name != "text"]
    hits = [hit for text in scripts for hit in NAMED.finditer(text)]
    return {hit[1] for hit in hits if not hit[2]}, {hit[1] for hit in hits if hit[2]}


def test_both_languages_have_the_same_texts_with_the_same_holes() -> None:
    english, german = words("en"), words("de")
    assert len(english) > 40
    assert list(english) == list(german)
    holes = {
        key: [set(HOLE.findall(each)) for each in (english[key][-1], german[key][-1])] for key in english
    }
    assert {key: each for key, each in holes.items() if each[0] != each[1]} == {}


def test_each_text_is_used_and_each_that_is_named_is_there() -> None:
    whole, begun = named()
    known = set(words("en"))
    screens = {key.split(".")[0] for key in known}
    unused = {key for key in known - whole if not any(key.startswith(start) for start in begun)}
    assert unused == set()
    files = re.compile(r".*\.(js|css|html|svg|png|webmanifest)")
    missing = {key for key in whole - known if key.split(".")[0] in screens and not files.fullmatch(key)}
    assert missing - {"codes.", "code."} == set()


def test_words_are_calm() -> None:
    loud = re.compile(r"!|\b[Oo]ops\b|\b[Pp]lease\b|\b[Bb]itte\b|\bHoppla\b")
    for language in LANGUAGES:
        assert [each for texts in words(language).values() for each in texts if loud.search(each)] == []
    assert loud.search("Oops!") is not None
