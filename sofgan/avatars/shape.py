"""Shape of a person: phenotype, features and expression, drawn as weights of MakeHuman's morph targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Features with two opposite targets, and the spread (standard deviation of the weight) that looks natural.
_OPPOSITES: tuple[tuple[str, str, str, float], ...] = (
    ("head/head-scale-depth", "decr", "incr", 0.25),
    ("head/head-scale-horiz", "decr", "incr", 0.22),
    ("head/head-scale-vert", "decr", "incr", 0.15),
    ("head/head-fat", "decr", "incr", 0.25),
    ("head/head-angle", "in", "out", 0.25),
    ("head/head-back-scale-depth", "decr", "incr", 0.25),
    ("forehead/forehead-scale-vert", "decr", "incr", 0.18),
    ("forehead/forehead-temple", "decr", "incr", 0.35),
    ("forehead/forehead-nubian", "decr", "incr", 0.25),
    ("eyebrows/eyebrows-angle", "down", "up", 0.30),
    ("eyebrows/eyebrows-trans", "down", "up", 0.25),
    ("nose/nose-scale-depth", "decr", "incr", 0.40),
    ("nose/nose-scale-horiz", "decr", "incr", 0.35),
    ("nose/nose-scale-vert", "decr", "incr", 0.35),
    ("nose/nose-hump", "decr", "incr", 0.40),
    ("nose/nose-curve", "concave", "convex", 0.40),
    ("nose/nose-point", "down", "up", 0.40),
    ("nose/nose-point-width", "decr", "incr", 0.40),
    ("nose/nose-volume", "decr", "incr", 0.30),
    ("nose/nose-width1", "decr", "incr", 0.30),
    ("nose/nose-width2", "decr", "incr", 0.30),
    ("nose/nose-width3", "decr", "incr", 0.40),
    ("nose/nose-base", "down", "up", 0.30),
    ("nose/nose-septumangle", "decr", "incr", 0.30),
    ("mouth/mouth-scale-horiz", "decr", "incr", 0.35),
    ("mouth/mouth-scale-vert", "decr", "incr", 0.25),
    ("mouth/mouth-trans", "down", "up", 0.25),
    ("mouth/mouth-upperlip-volume", "decr", "incr", 0.30),
    ("mouth/mouth-lowerlip-volume", "decr", "incr", 0.30),
    ("mouth/mouth-upperlip-height", "decr", "incr", 0.35),
    ("mouth/mouth-lowerlip-height", "decr", "incr", 0.35),
    ("mouth/mouth-cupidsbow", "decr", "incr", 0.50),
    ("mouth/mouth-philtrum-volume", "decr", "incr", 0.40),
    ("chin/chin-height", "decr", "incr", 0.35),
    ("chin/chin-width", "decr", "incr", 0.40),
    ("chin/chin-bones", "decr", "incr", 0.40),
    ("chin/chin-prominent", "decr", "incr", 0.35),
    ("chin/chin-prognathism", "decr", "incr", 0.25),
    ("chin/chin-jaw-drop", "decr", "incr", 0.30),
    ("neck/neck-scale-horiz", "decr", "incr", 0.25),
    ("neck/neck-scale-depth", "decr", "incr", 0.25),
    ("neck/neck-scale-vert", "decr", "incr", 0.30),
)
# The same for features that come as a left and a right target, moved together but for a little asymmetry.
_SIDED: tuple[tuple[str, str, str, float], ...] = (
    ("cheek/{}-cheek-bones", "decr", "incr", 0.40),
    ("cheek/{}-cheek-volume", "decr", "incr", 0.35),
    ("cheek/{}-cheek-inner", "decr", "incr", 0.30),
    ("eyes/{}-eye-scale", "decr", "incr", 0.30),
    ("eyes/{}-eye-height2", "decr", "incr", 0.35),
    ("eyes/{}-eye-corner1", "down", "up", 0.35),
    ("eyes/{}-eye-corner2", "down", "up", 0.35),
    ("eyes/{}-eye-trans", "in", "out", 0.30),
    ("eyes/{}-eye-bag", "decr", "incr", 0.35),
    ("eyes/{}-eye-eyefold", "down", "up", 0.35),
    ("eyes/{}-eye-epicanthus", "in", "out", 0.30),
    ("ears/{}-ear-scale", "decr", "incr", 0.30),
    ("ears/{}-ear-wing", "decr", "incr", 0.30),
    ("ears/{}-ear-lobe", "decr", "incr", 0.50),
    ("ears/{}-ear-rot", "backward", "forward", 0.30),
)
_HEAD_SHAPES = ("oval", "round", "square", "rectangular", "triangular", "invertedtriangular", "diamond")

# Expressions: facial actions with the range of their weights. "@" stands for both sides.
_EXPRESSIONS: dict[str, tuple[float, dict[str, tuple[float, float]]]] = {
    "neutral": (0.26, {}),
    "slight smile": (0.18, {"mouthSmile@": (0.25, 0.6), "cheekSquint@": (0.0, 0.3)}),
    "smile": (
        0.18,
        {
            "mouthSmile@": (0.55, 0.9), "cheekSquint@": (0.1, 0.4), "eyeSquint@": (0.0, 0.2),
            "mouthUpperUp@": (0.4, 0.8), "mouthLowerDown@": (0.2, 0.5), "jawOpen": (0.04, 0.15),
        },
    ),
    "laugh": (
        0.13,
        {
            "mouthSmile@": (0.6, 0.9), "cheekSquint@": (0.2, 0.5), "eyeSquint@": (0.0, 0.3),
            "mouthUpperUp@": (0.6, 1.0), "mouthLowerDown@": (0.1, 0.4), "jawOpen": (0.2, 0.4),
        },
    ),
    "open mouth": (0.12, {"jawOpen": (0.25, 0.6), "browInnerUp": (0.0, 0.6), "eyeWide@": (0.0, 0.4)}),
    "serious": (0.08, {"browDown@": (0.1, 0.4), "mouthPress@": (0.1, 0.5), "eyeSquint@": (0.0, 0.4)}),
    "pout": (0.03, {"mouthPucker": (0.3, 0.6), "browInnerUp": (0.0, 0.4)}),
    "sad": (0.03, {"mouthFrown@": (0.3, 0.7), "browInnerUp": (0.3, 0.8)}),
}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Weights of the morph targets, and what the looks (colours, hair, dress) depend on.

    male, age, weight: 0..1 (age 0 is 25 years, 1 is 90); ethnicity: shares of african, asian, caucasian, sum 1.
    """

    weights: dict[str, float]
    male: float
    age: float
    weight: float
    ethnicity: tuple[float, float, float]
    expression: str
    gaze_degrees: tuple[float, float]


def draw_person(generator: np.random.Generator) -> Person:
    """Draw an adult."""
    male = float(np.clip(generator.choice([0.08, 0.92]) + generator.normal(0, 0.1), 0, 1))
    age = float(np.clip(generator.beta(1.2, 2.2) * 0.8, 0, 0.75))
    weight = float(np.clip(generator.normal(0.0, 0.35), -0.9, 0.9))
    ethnicity = generator.dirichlet([0.45, 0.45, 0.55])
    weights = _phenotype(male, age, weight, ethnicity)
    for stem, negative, positive, spread in _OPPOSITES:
        value = float(np.clip(generator.normal(0, spread), -0.7, 0.7))
        weights[f"{stem}-{positive if value > 0 else negative}"] = abs(value)
    for stem, negative, positive, spread in _SIDED:
        value = float(generator.normal(0.2 if stem == "eyes/{}-eye-scale" else 0, spread))
        for side in "lr":
            own = float(np.clip(value + generator.normal(0, 0.04), -0.9, 0.9))
            weights[f"{stem.format(side)}-{positive if own > 0 else negative}"] = abs(own)
    shape = _HEAD_SHAPES[generator.integers(len(_HEAD_SHAPES))]
    weights[f"head/head-{shape}"] = float(generator.uniform(0, 0.4))
    expression = _draw_expression(generator, weights)
    gaze = generator.normal(0, [5.0, 2.5]).clip(-10, 10)
    return Person(
        weights,
        male,
        age,
        weight,
        tuple(float(e) for e in ethnicity),
        expression,
        (float(gaze[0]), float(gaze[1])),
    )


def _phenotype(male: float, age: float, weight: float, ethnicity: np.ndarray) -> dict[str, float]:
    """Products of the shares of each trait's extremes, as MakeHuman combines them."""
    weights: dict[str, float] = {}
    build = {"minweight": max(-weight, 0), "maxweight": max(weight, 0), "averageweight": 1 - abs(weight)}
    for sex, sex_share in (("male", male), ("female", 1 - male)):
        for stage, age_share in (("young", 1 - age), ("old", age)):
            share = sex_share * age_share
            for race, race_share in zip(("african", "asian", "caucasian"), ethnicity):
                weights[f"macrodetails/{race}-{sex}-{stage}"] = share * float(race_share)
            for kind, kind_share in build.items():
                weights[f"macrodetails/universal-{sex}-{stage}-averagemuscle-{kind}"] = share * kind_share
    return weights


def _draw_expression(generator: np.random.Generator, weights: dict[str, float]) -> str:
    """Choose an expression, add its facial actions to `weights`, return its name."""
    names = list(_EXPRESSIONS)
    chances = np.array([_EXPRESSIONS[name][0] for name in names])
    expression = names[generator.choice(len(names), p=chances / chances.sum())]
    for action, (low, high) in _EXPRESSIONS[expression][1].items():
        value = float(generator.uniform(low, high))
        sides = ("Left", "Right") if action.endswith("@") else ("",)
        for side in sides:
            own = value * float(generator.uniform(0.9, 1.1)) if side else value
            weights[f"faceunits/{action.rstrip('@')}{side}"] = own
    blink = float(generator.uniform(-0.12, 0.1))
    for side in ("Left", "Right"):
        weights[f"faceunits/eyeBlink{side}"] = blink
    return expression


def all_targets() -> list[str]:
    """Every target that `draw_person` may use, so that they can be read before processes are forked."""
    everything = np.full(3, 1 / 3)
    names = {
        **_phenotype(0.5, 0.5, 0.5, everything),
        **_phenotype(0.5, 0.5, -0.5, everything),
    }
    result = list(names)
    for stem, negative, positive, _ in _OPPOSITES:
        result += [f"{stem}-{negative}", f"{stem}-{positive}"]
    for stem, negative, positive, _ in _SIDED:
        result += [f"{stem.format(side)}-{way}" for side in "lr" for way in (negative, positive)]
    result += [f"head/head-{shape}" for shape in _HEAD_SHAPES]
    for _, actions in _EXPRESSIONS.values():
        for action in actions:
            sides = ("Left", "Right") if action.endswith("@") else ("",)
            result += [f"faceunits/{action.rstrip('@')}{side}" for side in sides]
    result += ["faceunits/eyeBlinkLeft", "faceunits/eyeBlinkRight"]
    return list(dict.fromkeys(result))
