"""The contender in PyTorch: the same training step on the same weights and tokens, on this machine's processors.

    pytorch_step.py --weights MODEL.bin --tokens TOKENS.i32 --batch N --sequence S --steps N [--dtype fp32|bf16] [--threads N]

Prints one JSON object: a loss and the milliseconds of each step (forward, backward, clipping, AdamW), the first step, which
touches memory for the first time, included.
"""
import argparse
import json
import time

import numpy
import torch
import torch.nn.functional as F


def read_llama2c(path):
    """The sizes and the weights of a llama2.c file, version 0 (docs/interchange.md)."""
    file = open(path, "rb")
    width, hidden, layers, heads, kv_heads, vocabulary, _ = (int(size) for size in numpy.fromfile(file, numpy.int32, 7))
    assert vocabulary > 0, "the contender's classifier is the embedding"
    kv_width = width // heads * kv_heads

    def take(*shape):
        return torch.from_numpy(numpy.fromfile(file, numpy.float32, int(numpy.prod(shape)))).reshape(shape)

    names = [("attention_norm", (width,)), ("wq", (width, width)), ("wk", (kv_width, width)), ("wv", (kv_width, width)),
             ("wo", (width, width)), ("ffn_norm", (width,)), ("w1", (hidden, width)), ("w2", (width, hidden)),
             ("w3", (hidden, width))]
    weights = {"embedding": take(vocabulary, width)}
    for name, shape in names:
        for layer in range(layers):
            weights[f"{layer}.{name}"] = take(*shape)
    weights["norm"] = take(width)
    return layers, heads, kv_heads, {name: tensor.requires_grad_() for name, tensor in weights.items()}


class Llama:
    """Llama as llama2.c computes it: RMSNorm with epsilon 1e-5, rotated neighbours, SwiGLU, the embedding as classifier."""

    def __init__(self, path, sequence):
        self.layers, self.heads, self.kv_heads, self.weights = read_llama2c(path)
        size = self.weights["norm"].numel() // self.heads
        angles = torch.outer(torch.arange(sequence), 10000.0 ** (-torch.arange(0, size, 2) / size))
        self.cos, self.sin = angles.cos(), angles.sin()
        self.mask = torch.full((sequence, sequence), float("-inf")).triu(1)

    def norm(self, x, name):
        return x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5).to(x.dtype) * self.weights[name]

    def rotate(self, x):
        even, odd = x[..., 0::2], x[..., 1::2]
        cos, sin = self.cos.to(x.dtype), self.sin.to(x.dtype)
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)

    def split(self, x, heads):
        """[batch, all heads, sequence, size]; key/value heads stand once for each query head that uses them."""
        batch, sequence, width = x.shape
        x = x.view(batch, sequence, heads, width // heads).transpose(1, 2)
        return x if heads == self.heads else x.repeat_interleave(self.heads // heads, 1)

    def loss(self, tokens, targets):
        w = self.weights
        x = F.embedding(tokens, w["embedding"])
        for layer in range(self.layers):
            h = self.norm(x, f"{layer}.attention_norm")
            q, k, v = (self.split(F.linear(h, w[f"{layer}.{name}"]), heads) for name, heads in
                       (("wq", self.heads), ("wk", self.kv_heads), ("wv", self.kv_heads)))
            q, k = self.rotate(q), self.rotate(k)
            scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + self.mask.to(q.dtype)
            attended = (torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(-2)
            x = x + F.linear(attended, w[f"{layer}.wo"])
            h = self.norm(x, f"{layer}.ffn_norm")
            gate = F.silu(F.linear(h, w[f"{layer}.w1"]))
            x = x + F.linear(gate * F.linear(h, w[f"{layer}.w3"]), w[f"{layer}.w2"])
        logits = F.linear(self.norm(x, "norm"), w["embedding"])
        return F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--tokens", required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--sequence", type=int, required=True)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=0, help="0: whatever PyTorch takes by itself")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = Llama(options.weights, options.sequence)
    case = torch.from_numpy(numpy.fromfile(options.tokens, numpy.int32).astype(numpy.int64))
    tokens, targets = case.view(options.batch, 2, options.sequence).unbind(1)
    parameters = list(model.weights.values())
    optimizer = torch.optim.AdamW(parameters, lr=3e-5, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    losses, milliseconds = [], []
    for _ in range(options.steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=False)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bf16"):
            loss = model.loss(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        milliseconds.append(1e3 * (time.perf_counter() - start))
        losses.append(loss.item())
    print(json.dumps({"losses": losses, "milliseconds": milliseconds, "threads": torch.get_num_threads(),
                      "library": f"PyTorch {torch.__version__}"}))


if __name__ == "__main__":
    main()
