"""Rerank models of AWS: Amazon Bedrock and SageMaker. Nothing of AWS needs to be installed.

The addresses ``bedrock:REGION``, ``bedrock-agent:REGION`` and ``sagemaker:ENDPOINT`` work with every v2 client. The
classes here take the arguments of the official classes of the same names.
"""

from __future__ import annotations

from cohere_rerank._lazy import lazy_exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .clients import AsyncBedrockClientV2 as AsyncBedrockClientV2
    from .clients import AsyncSagemakerClientV2 as AsyncSagemakerClientV2
    from .clients import AwsClientOptions as AwsClientOptions
    from .clients import BedrockClientV2 as BedrockClientV2
    from .clients import SagemakerClientV2 as SagemakerClientV2

__all__ = [
    "AsyncBedrockClientV2",
    "AsyncSagemakerClientV2",
    "AwsClientOptions",
    "BedrockClientV2",
    "SagemakerClientV2",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(globals(), dict.fromkeys(__all__, "clients"))
