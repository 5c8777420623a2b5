# resticwrap with its restic, on Debian. Everything runs as a user without rights of its own: docs/docker.md.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS base
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 restic tini tzdata \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log

# Wheels of resticwrap and of what it needs at run time: pinned, hashed, and built with pinned tools.
FROM base AS wheels
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && python3 -m venv /tools
WORKDIR /src
COPY constraints.txt pyproject.toml .ci/pinned ./
# Where packages come from: a pip.conf of yours as the build secret `pip`, else what pip itself knows.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 pinned hatchling setuptools wheel >tools.txt \
 && python3 pinned --except dev --except docker >runtime.txt \
 && /tools/bin/pip --disable-pip-version-check -q install --require-hashes --no-compile -r tools.txt \
 && /tools/bin/pip --disable-pip-version-check -q wheel --require-hashes --no-build-isolation -w /wheels -r runtime.txt
COPY README.md LICENSE ./
COPY policies policies
COPY resticwrap resticwrap
RUN /tools/bin/pip --disable-pip-version-check -q wheel --no-deps --no-index --no-build-isolation -w /wheels . \
 && python3 -m venv --without-pip /opt/resticwrap \
 && /tools/bin/pip --disable-pip-version-check -q --python /opt/resticwrap/bin/python install --no-deps --no-index /wheels/*.whl

# Clients to dump and load with, and the server that drills load PostgreSQL into; MySQL's is as large again:
# --build-arg DATABASES="postgresql mariadb-server". No server is set up, and none ever runs as a service. Gone besides
# is what compiles queries, which no server that is thrown away does, and half of the size.
FROM base AS databases
ARG DATABASES="postgresql mariadb-client"
RUN mkdir -p /etc/postgresql-common \
 && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold ${DATABASES} \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log /var/lib/mysql/* \
    /usr/lib/*/libLLVM* /usr/lib/*/libz3.so* /usr/lib/postgresql/*/lib/bitcode /usr/lib/postgresql/*/lib/llvmjit*

FROM databases
ARG UID=10001
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="resticwrap" \
      org.opencontainers.image.description="Backups with restic that can prove they restore." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Group 0 may write where rw writes, so that any user id will do that has group 0: docker run --user 1000:0.
RUN useradd --uid "${UID}" --gid 0 --create-home --shell /usr/sbin/nologin resticwrap \
 && install -d -o "${UID}" -g 0 -m 0770 /var/lib/resticwrap /var/cache/resticwrap /var/backups/resticwrap /restored \
 && ln -s /opt/resticwrap/bin/rw /usr/local/bin/rw
COPY --from=wheels /opt/resticwrap /opt/resticwrap
COPY policies /etc/resticwrap/policies
ENV RW_POLICIES=/etc/resticwrap/policies \
    RW_STATE_DIR=/var/lib/resticwrap \
    RW_LOCAL_PATH=/var/backups/resticwrap \
    RW_RESTIC=/usr/bin/restic \
    RW_LOG_FORMAT=json \
    XDG_CACHE_HOME=/var/cache/resticwrap \
    RESTIC_CACHE_DIR=/var/cache/resticwrap/restic \
    TMPDIR=/var/tmp \
    HOME=/home/resticwrap \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1
VOLUME ["/var/lib/resticwrap", "/var/cache/resticwrap"]
USER ${UID}:0
WORKDIR /var/lib/resticwrap
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["rw", "schedule", "health", "--quiet"]
ENTRYPOINT ["/usr/bin/tini", "--", "rw"]
CMD ["--help"]
