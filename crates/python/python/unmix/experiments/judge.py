"""A language model's opinion of steered texts, through any address that speaks OpenAI's chat completions."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from .store import JUDGED, TEXTS, Store, key_of

KEY_VARIABLE = "UNMIX_JUDGE_KEY"
TRIES = 2
TIMEOUT = 120  # seconds

QUESTION = """A language model went on from the beginning of a sentence. Its text:

{text}

Answer two questions with a whole number from 0 to 2 each.
concept: is the text about the concept "{concept}"? 0 not at all, 1 partly, 2 clearly.
fluency: does it read like the text of a person? 0 garbled or repeating, 1 with faults, 2 fluent.
Reply with JSON only: {{"concept": N, "fluency": N}}"""


@dataclasses.dataclass(frozen=True)
class Judge:
    """Where the judge is.

    Parameters
    ----------
    url : str
        The address up to the version, such as ``http://localhost:8000/v1``.
    model : str
        The name of the model there. If the environment variable ``UNMIX_JUDGE_KEY`` is set, it is sent as the key.
    """

    url: str
    model: str

    def __post_init__(self) -> None:
        if not re.match(r"https?://", self.url):
            raise ValueError(f"the judge's address is {self.url!r}; give one that begins with http:// or https://")

    def score(self, text: str, concept: str) -> tuple[int, int]:
        """The scores for concept and fluency, from 0 to 2 each.

        Raises
        ------
        OSError
            If the address does not answer, or refuses.
        ValueError
            If the answer holds no scores.
        """
        answer = ""
        for _ in range(TRIES):
            answer = self._ask(QUESTION.format(text=text, concept=concept.replace("_", " ")))
            found = [re.search(rf'"{name}"\s*:\s*([012])\b', answer) for name in ("concept", "fluency")]
            if all(found):
                return tuple(int(match[1]) for match in found if match)  # type: ignore[return-value]
        raise ValueError(f"{self.model} at {self.url} gave no scores from 0 to 2, but {answer[:200]!r}")

    def _ask(self, question: str) -> str:
        body = {"model": self.model, "temperature": 0, "messages": [{"role": "user", "content": question}]}
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        address = self.url.rstrip("/") + "/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
                content = json.loads(reply.read())
        except urllib.error.HTTPError as error:
            hint = f"; is the environment variable {KEY_VARIABLE} right?" if error.code in (401, 403) else ""
            raise OSError(f"the judge at {address} answers {error.code} {error.reason}{hint}") from error
        except urllib.error.URLError as error:
            raise OSError(f"the judge at {address} does not answer: {error.reason}") from error
        try:
            return str(content["choices"][0]["message"]["content"])
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(
                f"the judge at {address} did not answer like a chat completion: {str(content)[:200]}"
            ) from error


def judge_texts(store: Store, judge: Judge, progress: Callable[[str], None]) -> None:
    """Asks for the scores of all texts of an experiment that have none, and keeps them as they come."""
    texts = store.lines(TEXTS)
    known = {layer: store.known(JUDGED, layer) for layer in {line["layer"] for line in texts}}
    asked = 0
    for line in texts:
        if key_of(line) in known[line["layer"]]:
            continue
        store.add(JUDGED, _judged(line, judge))
        asked += 1
    progress(f"the judge scored the texts of {asked} directions")


def _judged(line: dict[str, Any], judge: Judge) -> dict[str, Any]:
    steps = []
    for step in line["steps"]:
        scores = [judge.score(text, line["concept"]) for text in step["texts"]]
        concept, fluency = map(list, zip(*scores, strict=True))
        steps.append({"target": step["target"], "concept": concept, "fluency": fluency})
    return {name: line[name] for name in ("layer", "method", "concept", "seed")} | {
        "judge": judge.model,
        "steps": steps,
    }
