"""The resource of a kind, as the API's paths have it: a guess by English, which is right for all but odd names.

Source: `meta.UnsafeGuessKindToResource` of k8s.io/apimachinery, which kubectl falls back to.
"""


def plural_of(kind: str) -> str:
    """`Deployment` is `deployments`, `ScalingPolicy` is `scalingpolicies`."""
    name = kind.lower()
    if name.endswith("s"):
        return f"{name}es"
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}s"
