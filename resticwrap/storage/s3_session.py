"""Who we are for S3: keys, a profile, the machine's own role, or a role assumed on top of one of these.

Built on botocore, the core of boto3, out of the policy and the environment that we are given. Buckets are
administered through boto3 itself; what every backup does goes without it, since it would add 0.1 s of import.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resticwrap.model.policy import S3Target
from resticwrap.storage.network import certificates, proxies_for
from resticwrap.storage.retry import Timeouts

AWS_HOST = "s3.amazonaws.com"
DEFAULT_REGION = "us-east-1"
STS_DEFAULT = "https://sts.amazonaws.com"

HANDED_ON: Mapping[str, tuple[str, ...]] = {
    "iam-role": (),
    "container-role": (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ),
    "assume-role-with-web-identity": ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"),
}
"""Ways of the machine itself that restic knows too, by botocore's names, with the variables that they need: restic
then renews the credentials by itself, where a copy of them would end in the middle of a long run."""


@dataclass(frozen=True)
class Identity:
    """What restic needs to be the same as we are: the environment, and the values in it that are secret."""

    env: Mapping[str, str]
    secrets: tuple[str, ...]


class S3Session:
    """A botocore session of one target, and the clients made of it. Nothing of it comes out of `os.environ` where
    the environment that was given says otherwise."""

    def __init__(self, target: S3Target, env: Mapping[str, str], timeouts: Timeouts) -> None:
        # Its debug lines hold whole requests, with the session token in them.
        for name in ("botocore", "urllib3"):
            if logging.getLogger(name).level == logging.NOTSET:
                logging.getLogger(name).setLevel(logging.WARNING)
        self._target = target
        self._env = env
        self._timeouts = timeouts
        self.ca_file = certificates(target.ca_file, env, "AWS_CA_BUNDLE", "SSL_CERT_FILE")
        self._session = _configured(target, env)
        self._base: Any = None
        self._credentials: Any = None

    @property
    def region(self) -> str | None:
        """The region of the policy, of the environment or of the profile; None where nobody says."""
        given = self._target.region or self._env.get("AWS_REGION") or self._env.get("AWS_DEFAULT_REGION")
        configured: str | None = given or self._session.get_config_variable("region")
        return configured

    def client(self, url: str | None, style: str, connections: int, *, administer: bool = False) -> Any:
        """A client for S3 at `url` (None: Amazon's own for the region), with one attempt for each call; of boto3 where
        it is to `administer` buckets."""
        # There is no other way to hand over credentials that renew themselves.
        self._session._credentials = self._assumed()
        options = {"s3": {"addressing_style": style}, "max_pool_connections": max(connections, 1)}
        make = self._session.create_client
        if administer:
            import boto3

            make = boto3.session.Session(botocore_session=self._session).client
        return self._create("s3", url, url or f"https://{AWS_HOST}", options, make)

    def identity(self) -> Identity:
        """What restic needs, as of now. Raises botocore's errors, as every call of a client does."""
        base = self._base_credentials()
        names = HANDED_ON.get(base.method)
        handed = {name: self._env[name] for name in names or () if self._env.get(name)}
        env: dict[str, str] = {}
        secrets: list[str] = []
        if names is not None and (handed or not names):
            env |= handed
            secrets += [value for name, value in handed.items() if name == "AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        else:
            frozen = base.get_frozen_credentials()
            env |= {"AWS_ACCESS_KEY_ID": frozen.access_key, "AWS_SECRET_ACCESS_KEY": frozen.secret_key}
            secrets.append(frozen.secret_key)
            if frozen.token:
                env["AWS_SESSION_TOKEN"] = frozen.token
                secrets.append(frozen.token)
        return Identity(env | self._role_env(secrets), tuple(secrets))

    def _role_env(self, secrets: list[str]) -> dict[str, str]:
        """What tells restic to assume the role by itself, and so to renew it in a run longer than its hour."""
        given = self._target.credentials
        if given.role_arn is None:
            return {}
        env = {
            "RESTIC_AWS_ASSUME_ROLE_ARN": given.role_arn,
            "RESTIC_AWS_ASSUME_ROLE_SESSION_NAME": given.role_session_name,
            "RESTIC_AWS_ASSUME_ROLE_REGION": self.region or DEFAULT_REGION,
        }
        if given.external_id is not None:
            env["RESTIC_AWS_ASSUME_ROLE_EXTERNAL_ID"] = given.external_id.get_secret_value()
            secrets.append(given.external_id.get_secret_value())
        if given.sts_endpoint is not None:
            env["RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT"] = given.sts_endpoint
        return env

    def _base_credentials(self) -> Any:
        """The credentials before a role is assumed. Raises botocore's NoCredentialsError."""
        from botocore.credentials import Credentials
        from botocore.exceptions import NoCredentialsError

        if self._base is None:
            given = self._target.credentials
            if given.access_key_id is not None and given.secret_access_key is not None:
                token = given.session_token.get_secret_value() if given.session_token is not None else None
                self._base = Credentials(
                    given.access_key_id.get_secret_value(), given.secret_access_key.get_secret_value(), token
                )
            else:
                self._base = self._session.get_credentials()
        if self._base is None:
            raise NoCredentialsError
        return self._base

    def _assumed(self) -> Any:
        """The credentials that sign: the base ones, or those of the role, renewed before they end."""
        given = self._target.credentials
        if given.role_arn is None:
            return self._base_credentials()
        if self._credentials is None:
            from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

            extra = {"RoleSessionName": given.role_session_name}
            if given.external_id is not None:
                extra["ExternalId"] = given.external_id.get_secret_value()
            fetcher = AssumeRoleCredentialFetcher(
                client_creator=self._sts,
                source_credentials=self._base_credentials(),
                role_arn=given.role_arn,
                extra_args=extra,
            )
            self._credentials = DeferredRefreshableCredentials(
                method="assume-role", refresh_using=fetcher.fetch_credentials
            )
        return self._credentials

    def _sts(self, service: str, **keys: Any) -> Any:
        """A client for STS, made when a role is assumed or renewed."""
        url = self._target.credentials.sts_endpoint
        return self._create(service, url, url or STS_DEFAULT, {}, self._session.create_client, **keys)

    def _create(
        self,
        service: str,
        url: str | None,
        spoken_to: str,
        options: dict[str, Any],
        make: Callable[..., Any],
        **keys: Any,
    ) -> Any:
        from botocore.config import Config

        options = {"ignore_configured_endpoint_urls": True, **options}
        config = Config(
            connect_timeout=self._timeouts.connect,
            read_timeout=self._timeouts.read,
            retries={"total_max_attempts": 1, "mode": "standard"},
            proxies=proxies_for(spoken_to, self._env),
            # Checksums in trailers are newer than most servers that speak S3, and OSS refuses them.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            **options,
        )
        return make(
            service,
            region_name=self.region or DEFAULT_REGION,
            endpoint_url=url,
            verify=str(self.ca_file) if self.ca_file is not None else True,
            config=config,
            **keys,
        )


def _read_time(text: Any) -> datetime:
    """A time in an answer. botocore's own reader takes any format and 0.1 ms: a second for a list of 10,000 objects."""
    from botocore.utils import parse_timestamp

    try:
        read = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        pass
    else:
        if read.tzinfo is not None:
            return read
    other: datetime = parse_timestamp(text)
    return other


def _configured(target: S3Target, env: Mapping[str, str]) -> Any:
    """A botocore session that reads files and variables where `env` says they are."""
    from botocore.configprovider import ConstantProvider
    from botocore.credentials import ContainerProvider, EnvProvider, create_credential_resolver
    from botocore.session import Session

    session: Any = Session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_read_time)
    home = env.get("HOME", "~")
    given = target.credentials
    from_env: dict[str, Any] = {
        "config_file": env.get("AWS_CONFIG_FILE") or f"{home}/.aws/config",
        "credentials_file": env.get("AWS_SHARED_CREDENTIALS_FILE") or f"{home}/.aws/credentials",
        "profile": given.profile or (env.get("AWS_PROFILE") if given.access_key_id is None else None) or None,
    }
    store = session.get_component("config_store")
    for name, value in from_env.items():
        store.set_config_provider(name, ConstantProvider(value))
    if given.profile is not None:
        session.set_config_variable("profile", given.profile)  # said in the policy: it goes before keys in variables
    resolver = create_credential_resolver(session)
    replacements: tuple[Any, ...] = (EnvProvider(environ=dict(env)), ContainerProvider(environ=dict(env)))
    for provider in replacements:
        if any(known.METHOD == provider.METHOD for known in resolver.providers):
            resolver.insert_before(provider.METHOD, provider)
            resolver.providers = [p for p in resolver.providers if p is provider or p.METHOD != provider.METHOD]
    if env.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        resolver.remove("iam-role")
    session.register_component("credential_provider", resolver)
    return session
