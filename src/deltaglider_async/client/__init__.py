"""The client: boto3's names and shapes as coroutines, over logical keys. One module per part of the surface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltaglider_async.client.answers import answers_for_itself
from deltaglider_async.client.buckets import Buckets
from deltaglider_async.client.deletes import Deletes
from deltaglider_async.client.estimates import Estimates
from deltaglider_async.client.listings import Listings
from deltaglider_async.client.migrating import Migrating
from deltaglider_async.client.multipart import Multipart
from deltaglider_async.client.operations import kind_of
from deltaglider_async.client.original import Original
from deltaglider_async.client.pages import Pages
from deltaglider_async.client.presigning import Presigning
from deltaglider_async.client.properties import Properties
from deltaglider_async.client.statistics import Statistics
from deltaglider_async.client.transfers import Transfers
from deltaglider_async.client.upkeep import Upkeep
from deltaglider_async.format.candidates import DeltaPolicy

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import Exceptions, S3Client
else:
    S3Client = object

__all__ = ["DeltaGliderClient"]


# To a type checker, whatever is not defined here is as types-aiobotocore describes it, where that is installed, and
# Any where it is not. Several methods here take more, and lists of theirs hold more, than an override may.
@answers_for_itself
class DeltaGliderClient(  # type: ignore[misc]
    Deletes,
    Listings,
    Pages,
    Properties,
    Presigning,
    Buckets,
    Multipart,
    Transfers,
    Original,
    Estimates,
    Statistics,
    Migrating,
    Upkeep,
    S3Client,
):
    """S3 with deltas. Made by `create_client`; safe for any number of concurrent calls on one event loop.

    Methods in boto3's names take boto3's arguments and return boto3's responses, for logical keys: no
    `.delta`, no `reference.bin`, no `.deltaglider/`. What S3 answers with an error is raised as an exception
    that is both botocore's (`client.exceptions.NoSuchKey`, `ClientError`) and one of `deltaglider_async.errors`.

    What touches neither the data nor the name of an object goes to aioboto3's client as it is
    (`await client.put_bucket_policy(...)`).
    """

    def __repr__(self) -> str:
        return f"<DeltaGliderClient {self.meta.endpoint_url}>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Everything else that botocore's client has. Raises `AttributeError` for what it has not."""
            if name.startswith("_"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            s3 = self._rooms.store.s3
            if not hasattr(s3, name):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            operation = s3.meta.method_to_api_mapping.get(name)
            if operation and kind_of(s3.meta.service_model, operation) != "passed through":
                raise AttributeError(
                    f"{type(self).__name__!r} object has no attribute {name!r} in this release: it speaks of objects, "
                    "and would take a delta for one."
                )
            return getattr(self._s3, name)

    @property
    def delta_policy(self) -> DeltaPolicy:
        """Which objects are delta candidates: `client.delta_policy.is_candidate(bucket, key, size)`."""
        return self._rooms.policy

    @property
    def exceptions(self) -> Exceptions:
        """botocore's exception classes of this client.

        What is raised is one of these, where boto3 has one, and one of ours.

            try:
                await client.get_object(Bucket="releases", Key="none.zip")
            except client.exceptions.NoSuchKey as error:
                assert isinstance(error, NotFoundError)
        """
        exceptions: Exceptions = self._rooms.store.s3.exceptions
        return exceptions

    @property
    def meta(self) -> Any:  # type: ignore[override]
        """botocore's description of this client (`endpoint_url`, `region_name`, `config`, ...)."""
        return self._rooms.store.s3.meta
