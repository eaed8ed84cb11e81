"""The option that was chosen, as a deployment file: what `simulate` takes, and what is put into service."""

from typing import Any

from penstock.messages.spec import ModelSpec
from penstock.recommend.answer import Answer
from penstock.recommend.option import Option, body


def deployment_file(answer: Answer, option: Option) -> dict[str, Any]:
    """The document, with the engine as the question has it: its profile is named, not what follows from it."""
    question = answer.question
    spec = body(ModelSpec(name=question.model), question.slo, option, option.replicas, question.engine)
    return {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "InferenceDeployment",
        "metadata": {"name": "recommended"},
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_unset=True),
    }
