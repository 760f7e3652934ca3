"""A workflow sandbox that answers the SDK's questions about serialization contexts outside the sandbox.

For each payload of a workflow, the SDK asks several times for its serialization context, and runs that code inside the
sandbox. This takes a fifth of a worker's CPU time. Our converters use no context, so this runner gives the same answer
for every payload, outside the sandbox. Do not use it with a converter or codec that takes a context
(`WithSerializationContext`).
"""

from typing import Any

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import Info


class ContextFreeSandbox(SandboxedWorkflowRunner):
    """The SDK's sandbox with the same restrictions, for converters that take no context."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """See the base class."""
        return _ContextFree(super().create_instance(det))


class _ContextFree(WorkflowInstance):
    def __init__(self, sandboxed: WorkflowInstance) -> None:
        self._sandboxed = sandboxed

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        return self._sandboxed.activate(act)

    def get_serialization_context(self, command_info: Any) -> None:
        return None

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        return self._sandboxed.get_thread_id()
