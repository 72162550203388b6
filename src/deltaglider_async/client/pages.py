"""Paginators and waiters: botocore's own, over our operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore import xform_name

from deltaglider_async.client.base import ClientBase


class Pages(ClientBase):
    """What goes through many pages, or waits for something."""

    if not TYPE_CHECKING:  # where types-aiobotocore knows each of them

        def get_paginator(self, operation_name: str) -> Any:
            """boto3's `get_paginator`, of logical keys: `async for page in client.get_paginator(...).paginate(...)`.

            Arguments of ours go through it as well (`paginate(Bucket=..., FetchMetadata=True)`). Raises botocore's
            `OperationNotPageableError`.

                pages = client.get_paginator("list_objects_v2").paginate(Bucket="releases", Prefix="app/")
                names = [key async for key in pages.search("Contents[].Key")]
            """
            paginator = self._s3.get_paginator(operation_name)
            paginator._method = getattr(self, operation_name)
            return paginator

        def get_waiter(self, waiter_name: str) -> Any:
            """boto3's `get_waiter`; `object_exists` and `object_not_exists` wait for logical objects.

            Raises botocore's `WaiterError` if they wait in vain.

                await client.get_waiter("object_exists").wait(Bucket="releases", Key="app/app-1.2.zip")
            """
            waiter = self._s3.get_waiter(waiter_name)
            waiter._operation_method._client_method = getattr(self, xform_name(waiter.config.operation))
            return waiter
