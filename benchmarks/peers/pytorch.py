"""PyTorch in eager mode, serving benchmarks/peers/pytorch.mjs.

Reads a line of JSON and the bytes of its arrays, and answers with a line of JSON. The first argument names the device,
cuda or cpu. Products of float32 are computed in float32, not in TF32; cuDNN may try its algorithms on the first step.
Whatever was asked for has finished when the answer is sent.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

DEVICE = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.benchmark = True


def mlp(p, x, training):
    x = x.flatten(1)
    for i in (0, 2, 4):
        x = F.relu(F.linear(x, p[f"layer1.{i}.weight"], p[f"layer1.{i}.bias"]))
    return F.linear(x, p["layer1.6.weight"], p["layer1.6.bias"])


def lenet5(p, x, training):
    x = F.relu(F.max_pool2d(F.conv2d(x, p["conv1.0.weight"], p["conv1.0.bias"], padding=2), 2))
    x = F.relu(F.max_pool2d(F.conv2d(x, p["conv2.0.weight"], p["conv2.0.bias"]), 2))
    x = x.flatten(1)
    x = F.relu(F.linear(x, p["fc.0.weight"], p["fc.0.bias"]))
    x = F.relu(F.linear(x, p["fc.2.weight"], p["fc.2.bias"]))
    return F.linear(x, p["fc.4.weight"], p["fc.4.bias"])


def resnet(p, x, training):
    """The residual network that the weights belong to: CIFAR's with three stages, or torchvision's with four."""

    def conv_bn(conv, bn, x, stride=1):
        w = p[f"{conv}.weight"]
        y = F.conv2d(x, w, stride=stride, padding=w.shape[2] // 2)
        return F.batch_norm(
            y, p[f"{bn}.running_mean"], p[f"{bn}.running_var"], p[f"{bn}.weight"], p[f"{bn}.bias"], training=training
        )

    torchvision = "layer4.0.conv1.weight" in p
    bottleneck = "layer1.0.conv3.weight" in p
    if torchvision:
        x = F.relu(conv_bn("conv1", "bn1", x, 2 if p["conv1.weight"].shape[2] == 7 else 1))
        x = F.max_pool2d(x, 3, 2, 1)
    else:
        mean = torch.tensor([0.485, 0.456, 0.406], device=x.device).view(1, 3, 1, 1)
        deviation = torch.tensor([0.229, 0.224, 0.225], device=x.device).view(1, 3, 1, 1)
        x = F.relu(conv_bn("conv1", "bn1", (x - mean) / deviation))
    for stage in (1, 2, 3, 4):
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in p:
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = F.relu(conv_bn(f"{name}.conv1", f"{name}.bn1", x, 1 if bottleneck else stride))
            y = conv_bn(f"{name}.conv2", f"{name}.bn2", y, stride if bottleneck else 1)
            if bottleneck:
                y = conv_bn(f"{name}.conv3", f"{name}.bn3", F.relu(y))
            if f"{name}.downsample.0.weight" in p:
                x = conv_bn(f"{name}.downsample.0", f"{name}.downsample.1", x, stride)
            elif stride == 2:
                extra = (y.shape[1] - x.shape[1]) // 2
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))
            x = F.relu(x + y)
            block += 1
    head = "fc" if "fc.weight" in p else "linear"
    return F.linear(x.mean((2, 3)), p[f"{head}.weight"], p[f"{head}.bias"])


def network_of(model):
    """The network of this name, or None where there is none here."""
    if model.startswith("resnet") and model != "resnet8-mlperf-tiny":
        return resnet
    return {"mlp": mlp, "lenet5": lenet5}.get(model)


def is_half(work):
    return work.get("precision") == "f16"


def mixed(work):
    """Computes in float16 where that is asked for and PyTorch thinks it safe."""
    return torch.autocast(DEVICE.type, torch.float16, enabled=is_half(work))


def training(work, arrays, weights):
    network, batch = network_of(work["model"]), work["batch"]
    images = (arrays["images"].float() / 255).view(work["batches"], batch, *work["imageShape"])
    labels = arrays["labels"].long().view(work["batches"], batch)
    statistics = ("running_", "num_batches")
    learnable = [w.requires_grad_() for name, w in weights.items() if not any(part in name for part in statistics)]
    optimizer = torch.optim.SGD(learnable, lr=work["lr"])
    scaler = torch.amp.GradScaler(DEVICE.type) if is_half(work) else None
    losses = []

    def unit():
        at = len(losses) % work["batches"]
        optimizer.zero_grad()
        with mixed(work):
            loss = F.cross_entropy(network(weights, images[at], True), labels[at])
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        # Read when they are asked for: reading one waits for the card.
        losses.append(loss.detach())

    return unit, lambda: [loss.item() for loss in losses]


def attack(work, arrays, weights):
    network, eps, alpha = network_of(work["model"]), work["eps"], work["alpha"]
    clean = (arrays["images"].float() / 255).view(work["batch"], *work["imageShape"])
    labels = arrays["labels"].long()
    low, high = (clean - eps).clamp(min=0), (clean + eps).clamp(max=1)
    final = [torch.zeros(0)]

    def unit():
        x = clean.clone()
        for _ in range(work["steps"]):
            x.requires_grad_()
            with mixed(work):
                loss = F.cross_entropy(network(weights, x, False), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x)
            x = torch.minimum(torch.maximum(x.detach() + alpha * gradient.sign(), low), high)
        with torch.no_grad(), mixed(work):
            final[0] = F.cross_entropy(network(weights, x, False), labels, reduction="none")

    return unit, lambda: final[0].tolist()


def product(work):
    """One product of random numbers, in the precision that is asked for; None where there is no such kernel."""
    problem = work["problem"]
    dtype = torch.float16 if is_half(work) else torch.float32
    draw = lambda shape: torch.randn(shape, device=DEVICE, dtype=dtype)
    if problem["op"] in ("matmul", "linear"):
        a, b = draw([problem["size"]] * 2), draw([problem["size"]] * 2)
        return repeated((lambda: a @ b) if problem["op"] == "matmul" else (lambda: F.linear(a, b)))
    top, left, bottom, right = problem["padding"]
    if (top, left) != (bottom, right):
        return None
    geometry = (problem["stride"], (top, left), problem["dilation"], problem["groups"])
    x, w, g = draw(problem["x"]), draw(problem["w"]), draw(problem["y"])
    if problem["op"] == "conv2d":
        return repeated(lambda: F.conv2d(x, w, None, *geometry))
    if problem["op"] == "conv2dInputGradient":
        return repeated(lambda: torch.nn.grad.conv2d_input(x.shape, w, g, *geometry))
    return repeated(lambda: torch.nn.grad.conv2d_weight(x, w.shape, g, *geometry))


def repeated(compute):
    last = [torch.zeros(0)]

    def unit():
        with torch.no_grad():
            last[0] = compute()

    return unit, lambda: last[0].flatten()[:256].tolist()


def open_work(work, arrays, weights):
    kind = work["kind"]
    if is_half(work) and DEVICE.type == "cpu":
        return None
    if kind == "product":
        return product(work)
    if "model" in work and network_of(work["model"]) is None:
        return None
    if kind == "training":
        return training(work, arrays, weights)
    if kind == "attack":
        return attack(work, arrays, weights)
    if kind == "forward":
        images = (arrays["images"].float() / 255).view(work["batch"], *work["imageShape"])
        return repeated(lambda: network_of(work["model"])(weights, images, False))
    if kind == "matmul":
        a, b = (arrays[name].view(work["size"], work["size"]) for name in "ab")
        return repeated(lambda: a @ b)
    if kind == "elementwise":
        x, y = arrays["x"], arrays["y"]
        return repeated(lambda: torch.relu(x * y + x))
    return None


def main():
    task = None
    data_names = {"images", "labels", "a", "b", "x", "y"}
    for line in iter(sys.stdin.buffer.readline, b""):
        message = json.loads(line)
        arrays, weights = {}, {}
        for each in message["arrays"]:
            raw = bytearray(sys.stdin.buffer.read(each["bytes"]))
            dtype = torch.uint8 if each["kind"] == "u8" else torch.float32
            values = torch.frombuffer(raw, dtype=dtype).view(each["shape"])
            (arrays if each["name"] in data_names else weights)[each["name"]] = values.to(DEVICE)
        try:
            if message["call"] == "open":
                task = None
                task = open_work(message, arrays, weights)
                answer = {"opened": task is not None}
            elif message["call"] == "run":
                begin = time.process_time()
                for _ in range(message["units"]):
                    task[0]()
                if DEVICE.type == "cuda":
                    torch.cuda.synchronize()
                answer = {"processor": 1000 * (time.process_time() - begin)}
            elif message["call"] == "result":
                answer = {"result": task[1]()}
            else:
                task = None
                answer = {}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
