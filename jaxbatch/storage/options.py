"""How an object store is reached. Credentials are not among it: they come from the environment or a profile."""

from pydantic import BaseModel, ConfigDict


class StorageOptions(BaseModel):
    """``[storage]`` of a job, for every s3://, gs:// and az:// path in it; the environment says what is left out."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    endpoint: str | None = None
    """URL of an S3-compatible server, as in AWS_ENDPOINT_URL. An http:// URL is taken to mean what it says."""
    region: str | None = None
    """As in AWS_REGION."""
    profile: str | None = None
    """Of ~/.aws, as in AWS_PROFILE."""
    anonymous: bool = False
    """Send no credentials, for public buckets."""

    def __hash__(self) -> int:
        return hash(self.model_dump_json())
