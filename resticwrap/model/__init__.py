"""The values that flow through the house: policies, plans, jobs, snapshots, objects, manifests, reports.

`policy` is pydantic (it validates what people write); all else is msgspec, whose encoding is the `--json` contract.
"""
