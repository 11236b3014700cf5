"""How an object store is reached. Credentials are no options: they come from the environment or a profile."""

from pydantic import BaseModel, ConfigDict


class StorageOptions(BaseModel):
    """``[storage]`` of a job, for every s3://, gs:// and az:// path in it. The environment decides what is left out."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    endpoint: str | None = None
    """URL of an S3-compatible server, as in AWS_ENDPOINT_URL. With an http:// URL nothing is encrypted."""
    region: str | None = None
    """Region of the bucket, as in AWS_REGION."""
    profile: str | None = None
    """Profile in ~/.aws, as in AWS_PROFILE."""
    anonymous: bool = False
    """Send no credentials, for public buckets."""

    def __hash__(self) -> int:
        return hash(self.model_dump_json())
