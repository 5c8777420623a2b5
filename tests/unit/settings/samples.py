"""A small set of policies that tests change one thing of."""

from pathlib import Path

TARGETS = """\
default: here
targets:
  here:
    provider: local
    path: /backups
  oss:
    provider: oss
    bucket: a-bucket
    endpoint: https://oss-cn-hangzhou.aliyuncs.com
    credentials:
      access_key_id: ${OSS_ACCESS_KEY_ID}
      access_key_secret: ${OSS_ACCESS_KEY_SECRET}
      security_token: ${OSS_SECURITY_TOKEN:-}
"""
DOMAINS = """\
host: school
domains:
  exams:
    layer: raw
    priority: P0
    source:
      root: /srv/exams
  profiles:
    layer: serving
    priority: P1
    source: {root: /srv/profiles}
"""
TIERS = """\
tiers:
  hot: {days: "${BACKUP_HOT_DAYS:-30}", keep: {within: 1d}}
  cold: {days: 180, keep: {within_daily: 180d}}
"""
SCHEDULE = """\
jobs:
  often:
    kind: backup
    type: incremental
    target: here
    every: 4m
    domains: [exams]
"""


def policies(folder: Path, **changed: str) -> Path:
    """The four files in a folder; `targets=...` and so on replace one of them."""
    files = {"targets": TARGETS, "domains": DOMAINS, "tiers": TIERS, "schedule": SCHEDULE, **changed}
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder
