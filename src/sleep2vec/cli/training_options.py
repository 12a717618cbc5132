"""The options that `pretrain`, `adapt` and `finetune` share."""

from typing import Annotated

import typer

Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated.")
]
IKnow = Annotated[bool, typer.Option("--i-know", help="Allow a split that puts one person or family on two sides.")]
