"""The network as the original's graph computes it: the yardstick of the benchmarks, used nowhere else.

The same weights and the same numbers as ``cmpc.models.CMPC``, in plain PyTorch without any of its savings: one image
and one expression at a time, the backbone anew for each, batch norms beside their convolutions, five separate heads,
the dense S x S adjacency, sentence and position tiled over all cells and concatenated, words one by one through the
LSTM. Names of the parameters are those of ``CMPC``, so that its weights can be copied.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.naive_backbone import NaiveDeepLab
from cmpc.conventions import LEVELS
from cmpc.models.backbones.compact import CompactBackbone
from cmpc.models.config import GroundedConfig, ModelConfig
from cmpc.models.grid import POSITION_CHANNELS, cell_positions
from cmpc.models.paper.cmpc import CMPC
from cmpc.models.refinement import Refinement

_HEAD = re.compile(r"\.entity_perception\.(visual|language)\.(\d+)\.")


@dataclass(frozen=True)
class NaiveOutput:
    """Result for one expression."""

    logits: Tensor
    """At the size of the image: (1, H, W)."""
    side_logits: dict[str, Tensor]
    """Logits of each level alone: (1, H, W) each."""


class JointLayerNorm(nn.Module):
    """``tf.contrib.layers.layer_norm``: moments over all positions and channels, then a gain and a shift."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """(1, C, h, w) -> (1, C, h, w)."""
        mean = features.mean(dim=(1, 2, 3), keepdim=True)
        variance = (features - mean).square().mean(dim=(1, 2, 3), keepdim=True)
        normalised = (features - mean) * torch.rsqrt(variance + 1e-12)
        return normalised * self.weight[:, None, None] + self.bias[:, None, None]


def read(cell: nn.LSTMCell, words: tuple[Tensor, ...]) -> list[Tensor]:
    """The outputs of an LSTM, one word after the other: (1, C) each -> (1, D) each."""
    state, outputs = None, []
    for word in words:
        state = cell(word, state)
        outputs.append(state[0])
    return outputs


class NaiveLanguage(nn.Module):
    """Embedding, the LSTM word by word (from both ends where the network reads so), word types, sentence vectors."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale = config.network.feature_scale
        self.embedding = nn.Embedding(config.text.vocabulary_size, config.text.embedding_channels)
        units = config.text.word_channels // 2 if config.text.both_directions else config.text.word_channels
        self.lstm = nn.LSTMCell(config.text.embedding_channels, units)
        self.reverse_lstm = nn.LSTMCell(config.text.embedding_channels, units) if config.text.both_directions else None
        self.word_type_hidden = nn.Conv2d(config.text.word_channels, config.network.word_type_channels, 1)
        self.word_type = nn.Conv2d(config.network.word_type_channels, 4, 1)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Word ids (1, N), none of them padding -> words (1, D, 1, N), relation (1, 1, N), and the sentence vectors of
        entity and attribute words and of all necessary words, (1, D, 1, 1) each."""
        embedded = self.embedding(tokens).unbind(dim=1)
        outputs = read(self.lstm, embedded)
        if self.reverse_lstm is not None:
            backwards = read(self.reverse_lstm, embedded[::-1])[::-1]
            outputs = [torch.cat(pair, dim=1) for pair in zip(outputs, backwards, strict=True)]
        words = torch.stack([l2_norm(output, self.scale) for output in outputs], dim=2)[:, :, None]  # (1, D, 1, N)
        types = self.word_type(F.relu(self.word_type_hidden(words))).softmax(dim=1)  # (1, 4, 1, N)
        entity, attribute, relation, unnecessary = types.split(1, dim=1)
        entity_attribute = ((entity + attribute) * words).sum(dim=3, keepdim=True)
        necessary = ((types.sum(dim=1, keepdim=True) - unnecessary) * words).sum(dim=3, keepdim=True)
        return words, relation[:, 0], l2_norm(entity_attribute, self.scale), l2_norm(necessary, self.scale)


class NaiveEntityPerception(nn.Module):
    """MUTAN: each head has a convolution of its own over image and position, and one over the sentence."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, heads = config.network.multimodal_channels, range(config.network.fusion_heads)
        self.scale = config.network.feature_scale
        self.visual = nn.ModuleList(nn.Conv2d(channels + POSITION_CHANNELS, channels, 1) for _ in heads)
        self.language = nn.ModuleList(nn.Conv2d(config.text.word_channels, channels, 1) for _ in heads)

    def forward(self, features: Tensor, position: Tensor, sentence: Tensor) -> Tensor:
        """Lateral (1, C, h, w), position (1, 8, h, w), sentence (1, D, 1, 1) -> (1, C, h, w)."""
        answers = []
        for visual, language in zip(self.visual, self.language, strict=True):
            seen = torch.tanh(visual(torch.cat([features, position], dim=1)))
            answers.append(seen * torch.tanh(language(sentence)))
        return l2_norm(torch.tanh(torch.stack(answers).sum(dim=0)), self.scale)


class NaiveReasoning(nn.Module):
    """The graph over the cells with its adjacency as a matrix, (S, S)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.network.multimodal_channels
        self.scale = config.network.feature_scale
        self.project_cells = nn.Conv2d(channels, channels, 1)
        self.project_words = nn.Conv2d(config.text.word_channels, channels, 1)
        self.message_norm = JointLayerNorm(channels)
        self.update = nn.Conv2d(channels, channels, 1)
        self.update_norm = JointLayerNorm(channels)

    def forward(self, entities: Tensor, words: Tensor, relation: Tensor) -> Tensor:
        """Entities (1, C, h, w), words (1, D, 1, N), relation (1, 1, N) -> (1, C, h, w)."""
        height, width = entities.shape[2:]
        nodes = entities.flatten(2).mT  # (1, S, C)
        cells = self.project_cells(entities).flatten(2).mT
        affinity = cells @ self.project_words(words).flatten(2) / math.sqrt(nodes.shape[2]) * relation  # (1, S, N)
        adjacency = affinity.softmax(dim=2) @ affinity.softmax(dim=1).mT  # (1, S, S)
        messages = (adjacency @ nodes).mT.unflatten(2, (height, width))
        features = F.relu(entities + self.message_norm(messages))
        return l2_norm(F.relu(self.update_norm(self.update(features))), self.scale)


class NaiveFusion(nn.Module):
    """One convolution over entities, graph, sentence and position, all tiled to the grid and concatenated."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = 2 * config.network.multimodal_channels + config.text.word_channels + POSITION_CHANNELS
        self.project = nn.Conv2d(channels, config.network.fusion_channels, 1)

    def forward(self, entities: Tensor, graph: Tensor, sentence: Tensor, position: Tensor) -> Tensor:
        """(1, C, h, w) twice, (1, D, 1, 1), (1, 8, h, w) -> (1, F, h, w)."""
        tiled = sentence.repeat(1, 1, *entities.shape[2:])
        return F.relu(self.project(torch.cat([entities, graph, tiled, position], dim=1)))


class NaiveLevel(nn.Module):
    """The CMPC module of one level."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.entity_perception = NaiveEntityPerception(config)
        self.relation_reasoning = NaiveReasoning(config)
        self.fusion = NaiveFusion(config)
        self.side_score = nn.Conv2d(config.network.fusion_channels, 1, 3, padding=1)


class NaiveGlobalVector(nn.Module):
    """A level summed up: attention over the cells, then one layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.network.fusion_channels
        self.scale = config.network.feature_scale
        self.key = nn.Conv2d(channels, channels, 1)
        self.query = nn.Conv2d(config.text.word_channels, channels, 1)
        self.project = nn.Conv2d(channels + config.text.word_channels, channels, 1)

    def forward(self, features: Tensor, sentence: Tensor) -> Tensor:
        """(1, F, h, w), (1, D, 1, 1) -> (1, F, 1, 1)."""
        scores = (self.key(features) * self.query(sentence)).sum(dim=1, keepdim=True) / math.sqrt(features.shape[1])
        attention = scores.flatten(1).softmax(dim=1).view_as(scores)  # (1, 1, h, w)
        pooled = (attention * features).sum(dim=(2, 3), keepdim=True)
        return l2_norm(self.project(torch.cat([pooled, sentence], dim=1)), self.scale)


class NaiveLevelExchange(nn.Module):
    """What one level takes from the others in a round of the exchange."""

    def __init__(self, level: str, config: ModelConfig) -> None:
        super().__init__()
        channels = config.network.fusion_channels
        self.scale = config.network.feature_scale
        others = [other for other in LEVELS if other != level]
        self.global_vector = NaiveGlobalVector(config)
        self.gate = nn.ModuleDict({other: nn.Conv2d(channels, channels, 1) for other in others})
        self.transform = nn.ModuleDict({other: nn.Conv2d(channels, channels, 1) for other in others})

    def forward(self, features: Tensor, levels: dict[str, Tensor], sentence: Tensor) -> Tensor:
        """This level and all levels (1, F, h, w), sentence (1, D, 1, 1) -> (1, F, h, w)."""
        vector = self.global_vector(features, sentence)
        for other, gate in self.gate.items():
            features = features + torch.sigmoid(gate(vector)) * F.relu(self.transform[other](levels[other]))
        return l2_norm(features, self.scale)


class NaiveExchange(nn.Module):
    """One round of the exchange."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.levels = nn.ModuleDict({level: NaiveLevelExchange(level, config) for level in LEVELS})

    def forward(self, levels: dict[str, Tensor], sentence: Tensor) -> dict[str, Tensor]:
        """The levels after the round."""
        return {level: exchange(levels[level], levels, sentence) for level, exchange in self.levels.items()}


class NaiveConvLSTMCell(nn.Module):
    """One step; the first one computes with a state of zeros, as the graph does."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, grid = config.network.fusion_channels, config.network.peephole_grid
        self.kernel = nn.Conv2d(2 * channels, 4 * channels, 1, bias=False)
        self.norm_content = JointLayerNorm(channels)
        self.norm_input = JointLayerNorm(channels)
        self.norm_forget = JointLayerNorm(channels)
        self.norm_output = JointLayerNorm(channels)
        self.norm_state = JointLayerNorm(channels)
        self.peephole_input, self.peephole_forget, self.peephole_output = (
            None if grid is None else nn.Parameter(torch.zeros(channels, *grid)) for _ in range(3)
        )

    def forward(self, features: Tensor, output: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(1, F, h, w) three times -> output and state."""
        gates = self.kernel(torch.cat([features, output], dim=1))
        content, input_gate, forget_gate, output_gate = gates.chunk(4, dim=1)
        input_gate = look(input_gate, self.peephole_input, state)
        forget_gate = look(forget_gate, self.peephole_forget, state)
        new = state * torch.sigmoid(self.norm_forget(forget_gate) + 1.0)
        new = new + torch.sigmoid(self.norm_input(input_gate)) * torch.tanh(self.norm_content(content))
        output_gate = look(output_gate, self.peephole_output, new)
        new = self.norm_state(new)
        return torch.sigmoid(self.norm_output(output_gate)) * torch.tanh(new), new


class NaiveConvLSTM(nn.Module):
    """Reads the levels in turn."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.cell = NaiveConvLSTMCell(config)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Levels (1, F, h, w) -> the last output."""
        output = state = torch.zeros_like(levels[0])
        for level in levels:
            output, state = self.cell(level, output, state)
        return output


class NaiveNetwork(nn.Module):
    """The whole network for one image and one expression."""

    def __init__(self, config: ModelConfig) -> None:
        """
        Raises:
            ValueError: a part of the network is switched off: the original has no such switches.
        """
        super().__init__()
        parts = (
            config.network.entity_perception,
            config.network.relation_reasoning,
            config.network.word_type_gating,
            config.network.conv_lstm,
        )
        if not all(parts) or isinstance(config.network, GroundedConfig):
            raise ValueError("the naive network has the parts of the paper and no others")
        self.config = config
        paper = config.backbone.kind == "deeplab_resnet101"
        self.backbone = NaiveDeepLab(config.backbone) if paper else CompactBackbone(config.backbone)
        channels = dict(zip(LEVELS, config.backbone.channels[1:], strict=True))
        self.lateral = nn.ModuleDict(
            {level: nn.Conv2d(channels[level], config.network.multimodal_channels, 1) for level in LEVELS}
        )
        self.language = NaiveLanguage(config)
        self.levels = nn.ModuleDict({level: NaiveLevel(config) for level in LEVELS})
        self.exchange = nn.ModuleList(NaiveExchange(config) for _ in range(config.network.exchange_rounds))
        self.conv_lstm = NaiveConvLSTM(config)
        self.refinement: Refinement | None = None  # not of the original, so there is no naive one
        if config.network.refinement_channels:
            self.refinement = Refinement(
                channels=config.network.fusion_channels,
                detail_channels=config.refined_stages,
                refined_channels=config.network.refinement_channels,
            )
            self.score = nn.Conv2d(config.network.refinement_channels, 4, 3, padding=1)
        else:
            self.score = nn.Conv2d(config.network.fusion_channels, 1, 3, padding=1)

    @staticmethod
    def of(network: CMPC) -> NaiveNetwork:
        """A naive network in evaluation mode with copies of the network's weights."""
        naive = NaiveNetwork(network.config)
        given = network.state_dict()
        state = {}
        for name, own in naive.state_dict().items():
            if name.endswith("num_batches_tracked") and name not in given:  # frozen batch norms do not count
                state[name] = own
                continue
            suffix = "_l0" if name.startswith(("language.lstm.", "language.reverse_lstm.")) else ""
            value = given[_HEAD.sub(r".entity_perception.\1.", name) + suffix]
            if head := _HEAD.search(name):
                value = value.chunk(network.config.network.fusion_heads)[int(head[2])]
            state[name] = value.reshape(own.shape).clone()
        naive.load_state_dict(state, assign=True)
        return naive.eval()

    def forward(self, image: Tensor, tokens: Tensor) -> NaiveOutput:
        """
        Args:
            image: one normalised image, (1, 3, H, W).
            tokens: the ids of one expression's words without padding, (1, N).
        """
        stages = self.backbone(image)
        words, relation, entity_attribute, necessary = self.language(tokens)
        grid = stages["c3"].shape[2:]
        position = cell_positions(*grid, device=image.device).mT.unflatten(1, grid)[None]
        fused, side_logits = {}, {}
        for level, module in self.levels.items():
            assert isinstance(module, NaiveLevel)
            lateral = self.lateral[level](stages[level])
            if lateral.shape[2:] != grid:
                lateral = F.interpolate(lateral, size=grid, mode="bilinear", align_corners=False)
            lateral = l2_norm(lateral, self.config.network.feature_scale)
            entities = module.entity_perception(lateral, position, entity_attribute)
            graph = module.relation_reasoning(entities, words, relation)
            fused[level] = module.fusion(entities, graph, entity_attribute, position)
            side_logits[level] = self._upsample(module.side_score(fused[level]), image)
        for exchange in self.exchange:
            fused = exchange(fused, necessary)
        merged = self.conv_lstm([fused[level] for level in LEVELS])
        if self.refinement is None:
            scores = self.score(merged)
        else:
            detail = self.refinement.encode_image(stages)
            merged = self.refinement(merged.flatten(2).mT, detail, (grid[0], grid[1]))
            scores = F.pixel_shuffle(self.score(merged), 2)
        return NaiveOutput(self._upsample(scores, image), side_logits)

    def _upsample(self, scores: Tensor, image: Tensor) -> Tensor:
        """(1, 1, h, w) -> (1, H, W)."""
        if self.config.network.upsampling == "bilinear":
            return F.interpolate(scores, size=image.shape[2:], mode="bilinear", align_corners=False)[:, 0]
        for dim, pixels in ((2, image.shape[2]), (3, image.shape[3])):
            scores = legacy_bilinear(scores, dim, pixels)
        return scores[:, 0]


def l2_norm(features: Tensor, scale: float) -> Tensor:
    """``tf.nn.l2_normalize`` over the channels, times ``scale``."""
    return features * torch.rsqrt(features.square().sum(dim=1, keepdim=True).clamp_min(1e-12)) * scale


def look(gate: Tensor, peephole: Tensor | None, state: Tensor) -> Tensor:
    """Adds what a peephole, (F, h, w), shows of the state."""
    if peephole is None:
        return gate
    if peephole.shape[1:] != state.shape[2:]:
        peephole = F.interpolate(peephole[None], size=state.shape[2:], mode="bilinear", align_corners=False)[0]
    return gate + peephole * state


def legacy_bilinear(scores: Tensor, dim: int, pixels: int) -> Tensor:
    """One axis by ``tf.image.resize_bilinear`` of TensorFlow 1: the source of pixel d is d * cells / pixels."""
    cells = scores.shape[dim]
    source = torch.arange(pixels, device=scores.device) * (cells / pixels)
    lower = source.long()
    weight = (source - lower).view([-1 if axis == dim else 1 for axis in range(scores.ndim)])
    upper = (lower + 1).clamp_max(cells - 1)
    return scores.index_select(dim, lower) * (1 - weight) + scores.index_select(dim, upper) * weight
