"""The peer: one LoRA training step of the same shape in PyTorch with torch.compile, on the same machine in
the same run. Written as fast as PyTorch users write it: bf16, flash attention through SDPA, loss over all
rows, no gradient of frozen weights. Prints one JSON line."""
import json
import math
import sys
import time

import torch
import torch.nn.functional as F

SHAPES = {  # vocab, hidden, layers, heads, kv heads, head dim, intermediate
    "0.5b": (151936, 896, 24, 14, 2, 64, 4864),
    "1.5b": (151936, 1536, 28, 12, 2, 128, 8960),
    "7b": (152064, 3584, 28, 28, 4, 128, 18944),
}
name = sys.argv[1] if len(sys.argv) > 1 else "0.5b"
V, H, L, NH, KV, D, I = SHAPES[name]
S, R = 2048, 16
torch.manual_seed(0)
dev, dt = "cuda", torch.bfloat16


class Linear(torch.nn.Module):
    def __init__(self, k, n):
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(n, k, device=dev, dtype=dt) / math.sqrt(k), requires_grad=False)
        self.a = torch.nn.Parameter(torch.randn(R, k, device=dev) / math.sqrt(k))
        self.b = torch.nn.Parameter(torch.zeros(n, R, device=dev))

    def forward(self, x):
        return x @ self.w.T + (x @ self.a.to(dt).T) @ (2 * self.b).to(dt).T


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = Linear(H, NH * D), Linear(H, KV * D), Linear(H, KV * D), Linear(NH * D, H)
        self.g, self.u, self.d = Linear(H, I), Linear(H, I), Linear(I, H)

    def forward(self, h, cos, sin):
        x = F.rms_norm(h, (H,))
        def heads(y, n):
            return y.view(1, S, n, D).transpose(1, 2)
        def turn(y):
            a, b = y.chunk(2, -1)
            return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)
        q, k, v = turn(heads(self.q(x), NH)), turn(heads(self.k(x), KV)), heads(self.v(x), KV)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        h = h + self.o(y.transpose(1, 2).reshape(1, S, NH * D))
        x = F.rms_norm(h, (H,))
        return h + self.d(F.silu(self.g(x)) * self.u(x))


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.e = torch.nn.Parameter(torch.randn(V, H, device=dev, dtype=dt) * 0.02, requires_grad=False)
        self.layers = torch.nn.ModuleList(Layer() for _ in range(L))

    def forward(self, ids):
        p = torch.arange(S, device=dev)[:, None] / 10000 ** (torch.arange(D // 2, device=dev) * 2 / D)
        cos, sin = p.cos().to(dt), p.sin().to(dt)
        h = self.e[ids]
        for layer in self.layers:
            h = layer(h, cos, sin)
        z = F.rms_norm(h, (H,))[0, :-1] @ self.e.T
        return F.cross_entropy(z.float(), ids[0, 1:])


model = Model()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, fused=True)
step = torch.compile(model)
ids = torch.randint(0, V, (1, S), device=dev)
times, losses = [], []
for i in range(13):
    torch.cuda.synchronize()
    began = time.perf_counter()
    optimizer.zero_grad()
    loss = step(ids)
    loss.backward()
    optimizer.step()
    torch.cuda.synchronize()
    times.append(time.perf_counter() - began)
    losses.append(loss.item())
rate = S / sorted(times[5:])[4]
ok = losses[-1] < losses[0]
print(json.dumps({"bench": "torch", "met": ok, "tokensPerSecond": rate, "say": f"PyTorch {torch.__version__}, torch.compile, LoRA r16 {name}: {rate:.0f} tok/s; loss {losses[0]:.3f} to {losses[-1]:.3f}"}))
sys.exit(0 if ok else 1)
