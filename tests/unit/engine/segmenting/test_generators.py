"""Mask generators of transformers, at the smallest sizes with random weights: the wiring, not the masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.errors import ModelError
from engine.segmenting.base import Picture
from engine.segmenting.registry import open_segmenter


def write_sam(folder: Path) -> None:
    """SAM with one block, for pictures of 64x64."""
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 16, "global_attn_indexes": [0]}
    config = SamConfig(
        vision_config=vision | {"image_size": 64, "patch_size": 16, "output_channels": 16, "window_size": 2, "num_pos_feats": 8},
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    SamModel(config).eval().save_pretrained(folder)
    processor: Any = SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    SamProcessor(processor).save_pretrained(folder)


def write_sam2(folder: Path) -> None:
    """SAM 2 with a backbone of four blocks."""
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2ImageProcessor, Sam2Model, Sam2Processor, Sam2VisionConfig

    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 1, 1],
        window_size_per_stage=[8, 4, 4, 4],
        global_attention_blocks=[3],
        image_size=[64, 64],
        window_positional_embedding_background_size=[2, 2],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=16,
    )
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    Sam2Model(config).eval().save_pretrained(folder)
    processor: Any = Sam2ImageProcessor(size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16})
    Sam2Processor(processor).save_pretrained(folder)


def write_mask2former(folder: Path) -> None:
    """Mask2Former with a narrow Swin."""
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        SwinConfig,
    )

    backbone = SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=16,
        encoder_feedforward_dim=16,
        num_queries=6,
        num_labels=3,
    )
    Mask2FormerForUniversalSegmentation(config).eval().save_pretrained(folder)
    processor: Any = Mask2FormerImageProcessor(size={"height": 64, "width": 64}, num_labels=3)
    processor.save_pretrained(folder)


MODELS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "SAM": ("mask-generation", write_sam),
    "SAM 2": ("mask-generation", write_sam2),
    "Mask2Former": ("image-segmentation", write_mask2former),
}


@pytest.fixture
def picture() -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8))


@pytest.mark.parametrize("name", MODELS)
def test_a_generator_of_transformers_is_a_segmenter(name: str, picture: Picture, tmp_path: Path) -> None:
    task, write = MODELS[name]
    torch.manual_seed(0)
    write(tmp_path / "model")
    segmenter = open_segmenter(str(tmp_path / "model"), device="cpu", points=4)
    assert segmenter.name == "model"
    assert vars(segmenter)["task"] == task
    ids = segmenter.segment(picture)
    assert ids.shape == (48, 64)
    assert ids.dtype == np.int32
    assert ids.min() >= -1


def test_masks_that_overlap_follow_the_stated_rule(picture: Picture, tmp_path: Path) -> None:
    write_sam(tmp_path / "model")
    segmenter = open_segmenter(str(tmp_path / "model"), device="cpu")
    large, small, speck = np.zeros((3, 48, 64), bool)
    large[:30], small[5:10, 5:10], speck[40, 40] = True, True, True
    pipeline = vars(segmenter)["_pipeline"]
    assert pipeline.model.training is False
    vars(segmenter)["_pipeline"] = lambda image, **_: {"masks": [torch.from_numpy(large), small, speck], "scores": [1, 1, 1]}
    ids = segmenter.segment(picture)
    assert (ids[small] == 2).all()
    assert (ids[large & ~small] == 1).all()
    assert (ids[~large] == -1).all(), "a speck is no mask"
    vars(segmenter)["_pipeline"] = lambda image, **_: {"masks": [large[:5]]}
    with pytest.raises(ModelError, match="shape"):
        segmenter.segment(picture)


def test_a_picture_in_which_a_model_finds_nothing_has_no_masks(picture: Picture, tmp_path: Path) -> None:
    write_sam(tmp_path / "model")
    segmenter = open_segmenter(str(tmp_path / "model"), device="cpu", points=2)
    real = vars(segmenter)["_pipeline"]
    vars(segmenter)["_pipeline"] = lambda image, **extra: real(image, pred_iou_thresh=1e9, **extra)
    assert (segmenter.segment(picture) == -1).all()


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    write_sam(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save({"x": torch.zeros(1)}, tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(ModelError, match="could not be loaded"):
        open_segmenter(str(tmp_path / "model"), device="cpu")


def test_a_model_that_makes_no_masks_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="expected one that makes masks"):
        open_segmenter(str(tmp_path / "model"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no mask generator"):
        open_segmenter(str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="no device"):
        open_segmenter(str(tmp_path / "model"), device="cuda")
