"""The steps of the proof, in the order in which they run: what matters most comes first, because time may run out."""

from __future__ import annotations

from tests.gpu.step import Step

STEPS = (
    Step("card", "tests.gpu.steps_card:measure_card", 45, "what the card reaches at best: matrix product, copy"),
    Step("bundled", "tests.gpu.steps_bundled:compare_bundled", 60, "the bundled model on the GPU against float32 on the CPU"),
    Step("agreement-2B", "tests.gpu.steps_judging:compare_ways", 60, "fast way against plain way, float32 and bfloat16"),
    Step("judging-2B", "tests.gpu.steps_judging:judge_2b", 70, "pairs/s against the original's way, memory against the estimate"),
    Step("judging-8B", "tests.gpu.steps_judging:judge_8b", 110, "the same at 8B"),
    Step("training-2B", "tests.gpu.steps_training:train_2b", 70, "PEFT: tokens/s, memory against the estimate"),
    Step("training-8B", "tests.gpu.steps_training:train_8b", 100, "the same at 8B"),
    Step("four-bit-2B", "tests.gpu.steps_training:four_bits", 90, "judging and training in 4 bits: memory, speed"),
    Step("peft-saved", "tests.gpu.steps_adapters:save_with_peft", 90, "an adapter answers alike after saving and loading"),
    Step("unsloth", "tests.gpu.steps_adapters:save_with_unsloth", 150, "the same with Unsloth, tokens/s beside PEFT's"),
    Step("rendering", "tests.gpu.steps_rendering:compare_renderers", 60, "PyTorch3D against Embree, ms a view"),
    Step("train-command", "tests.gpu.steps_command:run_train_command", 120, "`maskgroup train` from scene to adapter"),
    Step("vllm", "tests.gpu.steps_vllm:compare_served", 180, "vLLM against the local judge: answers, pairs/s"),
    Step("vllm-classes", "tests.gpu.steps_vllm:compare_classes", 180, "the same with yes and no as classes"),
)
