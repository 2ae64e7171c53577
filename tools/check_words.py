"""Check text and identifiers against a list of words to avoid, and the line length of Markdown and YAML (`make lint`).

    python tools/check_words.py [PATH ...]

Identifiers are split into words first: `learnRate` and `learn_rate` both read as "learn rate". An exception is a
pattern whose matches are removed before the search; each has its reason.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

AVOID = {
    # Dialect: words with a standard equivalent.
    r"games?": "algorithm, GAN variant",
    r"(move[sd]?|moving)": "update",
    r"(judge[sd]?|judging|judgments?)": "discriminator outputs, score",
    r"(tells?|telling|told)": "log, report, print",
    r"(says?|saying|said)": "log, report, print",
    r"(looks?|looking|looked)": "check, checks, patience",
    r"grace": "warmup",
    r"rates?": "learning rate, lr",
    r"(goes|go|going|went|gone) on( from)?": "resume",
    r"alone in": "lock_run_folder",
    r"surroundings": "environment",
    r"keeps? (the |a )?cache": "save",
    r"further": "extra",
    r"pictures?": "images, figures",
    r"gan lab list runs": "gan-lab runs",
    r"neighbou?rs command": "memorization",
    r"spreads?": "mean pairwise distance; labels in rows",
    r"memories": "state, stateful penalties",
    r"(pace[sd]?|pacing)": "schedules with growth",
    r"words?": "kwargs, options, overrides",
    r"hits?": "counts per mode",
    r"floors?": "ideal value",
    r"shares?": "fraction",
    r"sides?": "resolution(s)",
    r"(is|are) whole": "complete, valid",
    r"wholes?": "complete, valid, entire",
    r"anew": "again, from scratch",
    r"alarms?": "warnings",
    r"learn reals": "load_or_compute_real_statistics",
    r"subjects?": "evaluation input",
    r"(barred|owners?|adjacent)": "the name of the result",
    r"few": "the name of the result, or a number",
    r"(nobody|somebody|everybody|those who|whoever)": "the thing that acts",
    r"(?<!there )(?<!there's )(is|are|was|were) no(?! (longer|more|less))": "is not a ...",
    # British spelling.
    r"\w*(colour|neighbour|behaviour|favour|honour|flavour)\w*": "American spelling: -or",
    r"grey\w*": "gray",
    r"(re)?centre[sd]?": "center",
    r"\w*(labell|cancell|modell|travell|signall|tunnell)(ed|ing)": "American spelling: one l",
    r"(artefacts?|licence|programme|whilst|amongst|learnt|spelt|fulfil|judgement)": "American spelling",
    r"\w*(analyse|catalyse|paralyse)[sd]?": "American spelling: -yze",
}

EXCEPTIONS = {
    r"moving averages?": "the standard term",
    r"side by side|(both|either|one|two|left|right) sides?|(one|two) sided": "plain English, no image size",
    r"(shorter|longer) side": "of an image that is not square",
    r"(learning|decay|frame|sampling|refresh|error|drop|dropout|hit) rates?": "rates with their name",
    r"rates? of (change|convergence|decay)": "rates with their name",
    r"a few|too few|very few|few shot": "a quantity in prose",
    r"(math|torch|np|numpy)[. ]floor|floor(?=\(\))|floor (division|div)": "the function",
    r"whole numbers?|as a whole": "the standard term",
    r"(processes|networks|that|which|they) share": "the verb",
    r"word list|word order|check words": "this check",
    r"study\.tell": "the method of Optuna",
    r"pointer move": "an action of WebDriver",
    r"(self|down|ours)\}?\.further": "a module in the state dict of BigGAN-deep",
    r"usr/share": "a path",
    r"share_memory_|share memory": "the method of PyTorch",
    r"looks? (up|like|real|generated)|looking (up|like)": "plain English with one meaning",
}

BRITISH_STEMS = (
    "normal|optim|memor|initial|regular|real|minim|maxim|general|discret|quant|visual|parametr|random|standard|penal|"
    "recogn|organ|util|synchron|serial|special|vector|equal|summar|custom|token|categor|character|local|final|formal|"
    "binar|pixel|global|linear|polar|central|stabil|priorit|symmetr|factor|orthogonal|author|emphas"
)
AVOID[rf"\w*({BRITISH_STEMS})is(e|es|ed|er|ers|ing|ation|ations)"] = "American spelling: -ize"

ANY_TO_AVOID = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in AVOID))

SKIPPED = ("LICENSE", "tools/check_words.py", "tests/test_words.py")  # the last two quote the words
SUFFIXES = (".py", ".md", ".yaml", ".yml", ".toml", ".ipynb", ".jinja", ".html", ".css", ".svg", "Makefile")
WRAPPED = (".md", ".yaml", ".yml")
UNBREAKABLE = r"\s*(\||\[!|!\[|\S+$|#.* gan-lab \w)"
"""Lines that Markdown cannot break: rows of tables, badges, images, single links."""


def main(arguments: list[str]) -> int:
    """Print each finding as `file:line: word -> instead`; the status is 1 if there is one."""
    found = 0
    for path in tracked(arguments):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            for word, instead in findings(line):
                print(f"{path}:{number}: {word} -> {instead}")
                found += 1
            if path.suffix in WRAPPED and len(line) > 120 and not re.match(UNBREAKABLE, line):
                print(f"{path}:{number}: {len(line)} characters -> at most 120")
                found += 1
        for word, instead in findings(str(path)):
            print(f"{path}: {word} (in the name) -> {instead}")
            found += 1
    print(f"{found} findings" if found else "The words are fine.")
    return int(found > 0)


def tracked(arguments: list[str]) -> Iterator[Path]:
    """Text files under version control."""
    listed = subprocess.run(["git", "ls-files", "--", *arguments], capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if name.endswith(SUFFIXES) and name not in SKIPPED and Path(name).is_file():
            yield Path(name)


def findings(line: str) -> Iterator[tuple[str, str]]:
    """Words of a line to avoid, each with what to write instead."""
    text = words_of(line)
    if not ANY_TO_AVOID.search(text):  # most lines
        return
    for pattern in EXCEPTIONS:
        text = re.sub(rf"\b({pattern})\b", "~", text)
    for pattern, instead in AVOID.items():
        for match in re.finditer(rf"\b({pattern})\b", text):
            yield match.group(0), instead


def words_of(line: str) -> str:
    """The line in lower case, with identifiers split into words by single spaces."""
    separated = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", line).replace("_", " ").replace("-", " ").replace("`", " ")
    return re.sub(r"\s+", " ", separated).lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
