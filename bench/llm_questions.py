"""Twenty-five short questions to a voice agent, and what a right answer has to contain. They were
written before any model had seen them."""

import re
from dataclasses import dataclass

from serve_app.conversation.history import ChatMessage


@dataclass(frozen=True, slots=True)
class Question:
    """The last thing that the user says, and a regular expression."""

    asked: str
    answer: str
    before: tuple[str, ...] = ()
    """What was said until then, by the user and the agent in turn."""

    def chat(self, prompt: str) -> tuple[ChatMessage, ...]:
        said = (*self.before, self.asked)
        turns = (ChatMessage(("user", "assistant")[i % 2], text) for i, text in enumerate(said))
        return (ChatMessage("system", prompt), *turns)

    def is_right(self, reply: str) -> bool:
        return re.search(self.answer, reply, re.IGNORECASE) is not None


QUESTIONS = (
    Question("What is your name?", r"\becho\b"),
    Question("What is my name?", r"\banna\b", ("Hi, I am Anna.", "Hello! How can I help you?")),
    Question("What is the capital of France?", r"\bparis\b"),
    Question("And of Japan?", r"\btokyo\b", ("What is the capital of Italy?", "It is Rome.")),
    Question("In which country is the Eiffel Tower?", r"\bfrance\b"),
    Question("What language do people speak in Brazil?", r"\bportuguese\b"),
    Question("Which ocean lies between Europe and America?", r"\batlantic\b"),
    Question("How many continents are there?", r"\b(seven|7)\b"),
    Question("What is the largest planet in our solar system?", r"\bjupiter\b"),
    Question("Who was the first man on the moon?", r"\barmstrong\b"),
    Question("Who wrote Romeo and Juliet?", r"\bshakespeare\b"),
    Question("At what temperature in Celsius does water boil?", r"\b(100|(a |one )?hundred)\b"),
    Question("What is frozen water called?", r"\bice\b"),
    Question("What is the chemical symbol of gold?", r"\bau\b"),
    Question("How many legs does a spider have?", r"\b(eight|8)\b"),
    Question("Which animal says meow?", r"\bcats?\b"),
    Question("What do bees make?", r"\bhoney\b"),
    Question("What color do you get when you mix blue and yellow?", r"\bgreen\b"),
    Question("What is the opposite of hot?", r"\bcold\b"),
    Question("Which day comes after Tuesday?", r"\bwednesday\b"),
    Question("How many days are in a week?", r"\b(seven|7)\b"),
    Question("How many minutes are in two hours?", r"\b(120|(a |one )?hundred and twenty)\b"),
    Question("What is seven plus five?", r"\b(twelve|12)\b"),
    Question("What is nine times six?", r"\b(fifty[- ]four|54)\b"),
    Question("I had three apples and ate one. How many are left?", r"\b(two|2)\b"),
)
