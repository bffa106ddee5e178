"""A small OpenAI-compatible server around a real model, for the tests of the endpoint judge: a process of its own, real HTTP.

It answers with the plain path of transformers, `model(**processor(...))`, so it shares no code with what is tested. Run it as
`python -m tests.model_server MODEL --port N [--adapter NAME=FOLDER] [--journal FILE]`. With `--classes TOKENS` it has no chat and
answers as vLLM's `/classify` is documented to (`vllm serve --runner pooling`, with these tokens as `classifier_from_token`).
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import threading
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor


class Answerer:
    """One model with adapters by name, asked by one request at a time."""

    def __init__(self, folder: str, adapters: dict[str, str]) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)
        self.names = ["base", *adapters]
        self.model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        self.has_adapters = bool(adapters)
        for number, (name, path) in enumerate(adapters.items()):
            if number:
                self.model.load_adapter(path, adapter_name=name)
            else:
                from peft import PeftModel

                self.model = PeftModel.from_pretrained(self.model, path, adapter_name=name)
        self._lock = threading.Lock()

    def first_token(self, body: dict[str, Any]) -> torch.Tensor:
        """Return the log-probabilities of the first token, (vocabulary,)."""
        messages, images = [], []
        for message in body["messages"]:
            content = []
            for part in message["content"]:
                if part["type"] == "image_url":
                    images.append(
                        Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].split(",", 1)[1]))).convert("RGB")
                    )
                    content.append({"type": "image"})
                else:
                    content.append({"type": "text", "text": part["text"]})
            messages.append({"role": message["role"], "content": content})
        text = self.processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=body.get("add_generation_prompt", True)
        )
        inputs = self.processor(text=[text], images=images, return_tensors="pt")
        with self._lock, torch.inference_mode():
            if self.has_adapters and body["model"] == "base":
                with self.model.disable_adapter():
                    return self.model(**inputs).logits[0, -1].log_softmax(-1)
            if self.has_adapters:
                self.model.set_adapter(body["model"])
            return self.model(**inputs).logits[0, -1].log_softmax(-1)


def build(answerer: Answerer, *, journal: Path | None = None) -> FastAPI:
    """Return the application."""
    app = FastAPI()

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in answerer.names]}

    @app.post("/v1/chat/completions")
    def chat(body: dict[str, Any]) -> dict[str, Any]:
        if body["model"] not in answerer.names:
            raise HTTPException(404, f"The model `{body['model']}` does not exist.")
        top = body.get("top_logprobs", 0) if body.get("logprobs") else 0
        tokenizer = answerer.processor.tokenizer
        scores = answerer.first_token(body)
        if journal is not None:
            with journal.open("a") as stream:
                question = body["messages"][-1]["content"][-1]["text"]
                stream.write(json.dumps({"model": body["model"], "question": question}) + "\n")
        best = scores.topk(max(top, 1))
        listed = [
            {"token": tokenizer.decode([i]), "logprob": value, "bytes": None}
            for value, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": "length",
            "message": {"role": "assistant", "content": listed[0]["token"]},
        }
        if top:
            choice["logprobs"] = {"content": [{**listed[0], "top_logprobs": listed}]}
        return {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}

    return app


def build_pooling(answerer: Answerer, classes: list[str]) -> FastAPI:
    """Return the application that gives the probabilities of classes, and has no chat."""
    app = FastAPI()
    tokens = answerer.processor.tokenizer.convert_tokens_to_ids(classes)
    assert None not in tokens

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in answerer.names]}

    @app.post("/classify")
    def classify(body: dict[str, Any]) -> dict[str, Any]:
        if body["model"] not in answerer.names:
            raise HTTPException(404, f"The model `{body['model']}` does not exist.")
        # Its default; the generation prompt has to be asked for.
        scores = answerer.first_token({"add_generation_prompt": False, **body})[tokens]
        data = {"index": 0, "label": None, "probs": scores.softmax(-1).tolist(), "num_classes": len(tokens)}
        usage = {"prompt_tokens": 1, "total_tokens": 1, "completion_tokens": 0, "prompt_tokens_details": None}
        return {"id": "classify-1", "object": "list", "created": 0, "model": body["model"], "data": [data], "usage": usage}

    return app


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--adapter", action="append", default=[])
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--classes")
    args = parser.parse_args()
    answerer = Answerer(args.model, dict(pair.split("=", 1) for pair in args.adapter))
    app = build_pooling(answerer, args.classes.split(",")) if args.classes else build(answerer, journal=args.journal)
    uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
