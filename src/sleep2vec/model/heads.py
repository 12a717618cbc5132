"""From fused tokens to answers.

Dimension letters: B windows, L tokens, D features, C classes.
"""

from torch import Tensor, nn

from sleep2vec.model.backbone import TransformerLayer


class TokenClassifier(nn.Module):
    """Logits for every token, after one layer of context over the fused tokens.

    The backbone gives every modality its own context; this layer lets what one sensor said at one time weigh on
    what another says at the next.

    Shape:
        fused_BLD, readable_BL -> (B, L, C)
    """

    def __init__(self, width: int, heads: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.context = TransformerLayer(width, heads, dropout)
        self.classify = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, n_classes)
        )

    def forward(self, fused_BLD: Tensor, readable_BL: Tensor) -> Tensor:
        # A window in which no sensor was ever valid would leave attention nothing to look at; its tokens are
        # abstained from afterwards, so what it looks at instead does not matter.
        lookable_BL = readable_BL | ~readable_BL.any(dim=1, keepdim=True)
        return self.classify(self.context(fused_BLD, lookable_BL))
