"""Pretraining as it is written without this package: what `pretrain.py` compares with.

transformers' RoFormer, one pass a modality; the paper's MLP tokenizers; the weighted contrast literally, full logits in
either direction; torch's AdamW as it comes; an average updated parameter by parameter.

Dimension letters: B windows, L tokens, S samples of a token, D features.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import RoFormerConfig, RoFormerModel

from sleep2vec.model.sizes import Size

TEMPERATURE, MARGIN = 0.2, 0.1


class PlainTokenizer(nn.Module):
    def __init__(self, samples: int, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(samples, 2 * width), nn.Linear(2 * width, width)
        self.skip, self.norm, self.dropout = nn.Linear(samples, width), nn.LayerNorm(width), nn.Dropout(0.1)

    def forward(self, samples_BLS: Tensor) -> Tensor:
        return self.norm(self.down(self.dropout(F.silu(self.up(samples_BLS)))) + self.skip(samples_BLS))


class PlainModel(nn.Module):
    """Tokenizers of two modalities, RoFormer with a [CLS], projection."""

    def __init__(self, samples: tuple[int, int], size: Size, n_tokens: int) -> None:
        super().__init__()
        D = size.width
        self.tokenizers = nn.ModuleList(PlainTokenizer(n, D) for n in samples)
        config = RoFormerConfig(
            vocab_size=1,
            embedding_size=D,
            hidden_size=D,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            intermediate_size=4 * D,
            max_position_embeddings=n_tokens + 1,
        )
        self.encoder = RoFormerModel(config)
        self.cls_D, self.mask_D = nn.Parameter(torch.zeros(D)), nn.Parameter(torch.zeros(D))
        norms = [nn.LayerNorm(D), nn.LayerNorm(D)]
        self.projection = nn.Sequential(
            nn.Linear(D, D), norms[0], nn.GELU(), nn.Linear(D, D), norms[1], nn.GELU(), nn.Linear(D, 128)
        )

    def forward(self, which: int, samples_BLS: Tensor, valid_BL: Tensor) -> Tensor:
        """(B, L, 128) projections of the tokens of one modality."""
        tokens_BLD = self.tokenizers[which](samples_BLS)
        hidden_BL = torch.rand(valid_BL.shape, device=valid_BL.device) < 0.15
        tokens_BLD = torch.where(hidden_BL[..., None], self.mask_D.to(tokens_BLD.dtype), tokens_BLD)
        cls_BLD = self.cls_D.to(tokens_BLD.dtype).expand(len(tokens_BLD), 1, -1)
        attended_BL = torch.cat((torch.ones_like(valid_BL[:, :1]), valid_BL), 1)
        encoded = self.encoder(
            inputs_embeds=torch.cat((cls_BLD, tokens_BLD), 1), attention_mask=attended_BL.to(torch.long)
        )
        return self.projection(encoded.last_hidden_state[:, 1:])


def plain_contrast(first_BLD: Tensor, second_BLD: Tensor, weights_BB: Tensor, same_BB: Tensor) -> Tensor:
    """The weighted contrast as its formula stands: logits are made anew for the second direction."""
    first_BLD, second_BLD = F.normalize(first_BLD.float(), dim=-1), F.normalize(second_BLD.float(), dim=-1)
    losses = []
    for anchor_BLD, other_BLD in ((first_BLD, second_BLD), (second_BLD, first_BLD)):
        similarity_LBB = torch.einsum("itd,jtd->tij", anchor_BLD, other_BLD)
        logits_LBB = (similarity_LBB - MARGIN * same_BB) / TEMPERATURE + weights_BB.log()
        target_LB = torch.arange(len(first_BLD), device=first_BLD.device).expand(len(logits_LBB), -1)
        losses.append(F.cross_entropy(logits_LBB.flatten(0, 1), target_LB.flatten()))
    return sum(losses) / 2


class PlainTraining:
    """A model with its optimizer and average; `step` is everything that a step of training does."""

    def __init__(self, model: PlainModel, views: list[tuple[Tensor, Tensor]], weights_BB: Tensor, same_BB: Tensor):
        self.model, self.views = model.train(), views
        self.weights_BB, self.same_BB = weights_BB.float(), same_BB.float()
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, betas=(0.9, 0.95), weight_decay=0.01)

    def loss(self) -> Tensor:
        first_BLD, second_BLD = (self.model(i, *view) for i, view in enumerate(self.views))
        with torch.autocast(first_BLD.device.type, enabled=False):
            return plain_contrast(first_BLD, second_BLD, self.weights_BB, self.same_BB)

    def step(self, bfloat16: bool) -> None:
        with torch.autocast(self.weights_BB.device.type, torch.bfloat16, enabled=bfloat16):
            loss = self.loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            for own, followed in zip(self.average.parameters(), self.model.parameters(), strict=True):
                own.mul_(0.996).add_(followed, alpha=0.004)
