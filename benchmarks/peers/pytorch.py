"""PyTorch on the processor, serving benchmarks/peers/pytorch.mjs: reads a line of JSON and the bytes of its arrays, answers with a line of JSON."""

import json
import sys
import time

import torch
import torch.nn.functional as F


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


def resnet20(p, x, training):
    def conv_bn(conv, bn, x, stride=1):
        y = F.conv2d(x, p[f"{conv}.weight"], stride=stride, padding=1)
        return F.batch_norm(
            y, p[f"{bn}.running_mean"], p[f"{bn}.running_var"], p[f"{bn}.weight"], p[f"{bn}.bias"], training=training
        )

    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    x = F.relu(conv_bn("conv1", "bn1", (x - mean) / deviation))
    for stage in (1, 2, 3):
        for block in (0, 1, 2):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = F.relu(conv_bn(f"{name}.conv1", f"{name}.bn1", x, stride))
            y = conv_bn(f"{name}.conv2", f"{name}.bn2", y)
            if stride == 2:
                extra = (y.shape[1] - x.shape[1]) // 2
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))
            x = F.relu(x + y)
    head = "fc" if "fc.weight" in p else "linear"
    return F.linear(x.mean((2, 3)), p[f"{head}.weight"], p[f"{head}.bias"])


NETWORKS = {"mlp": mlp, "lenet5": lenet5, "resnet20": resnet20}


def training(work, arrays, weights):
    network, batch = NETWORKS[work["model"]], work["batch"]
    images = (arrays["images"].float() / 255).view(work["batches"], batch, *work["imageShape"])
    labels = arrays["labels"].long().view(work["batches"], batch)
    learnable = [w.requires_grad_() for name, w in weights.items() if "running_" not in name and "num_batches" not in name]
    optimiser = torch.optim.SGD(learnable, lr=work["lr"])
    losses = []

    def unit():
        at = len(losses) % work["batches"]
        optimiser.zero_grad()
        loss = F.cross_entropy(network(weights, images[at], True), labels[at])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    return unit, lambda: losses


def attack(work, arrays, weights):
    network, eps, alpha = NETWORKS[work["model"]], work["eps"], work["alpha"]
    clean = (arrays["images"].float() / 255).view(work["batch"], *work["imageShape"])
    labels = arrays["labels"].long()
    low, high = (clean - eps).clamp(min=0), (clean + eps).clamp(max=1)
    final = [torch.zeros(0)]

    def unit():
        x = clean.clone()
        for _ in range(work["steps"]):
            x.requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(network(weights, x, False), labels, reduction="sum"), x)
            x = torch.minimum(torch.maximum(x.detach() + alpha * gradient.sign(), low), high)
        with torch.no_grad():
            final[0] = F.cross_entropy(network(weights, x, False), labels, reduction="none")

    return unit, lambda: final[0].tolist()


def repeated(compute):
    last = [torch.zeros(0)]

    def unit():
        with torch.no_grad():
            last[0] = compute()

    return unit, lambda: last[0].flatten()[:256].tolist()


def open_work(work, arrays, weights):
    kind = work["kind"]
    if kind == "training":
        return training(work, arrays, weights)
    if kind == "attack":
        return attack(work, arrays, weights)
    if kind == "forward":
        images = (arrays["images"].float() / 255).view(work["batch"], *work["imageShape"])
        return repeated(lambda: NETWORKS[work["model"]](weights, images, False))
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
            values = torch.frombuffer(raw, dtype=torch.uint8 if each["kind"] == "u8" else torch.float32).view(each["shape"])
            (arrays if each["name"] in data_names else weights)[each["name"]] = values
        try:
            if message["call"] == "open":
                task = open_work(message, arrays, weights)
                answer = {"opened": task is not None}
            elif message["call"] == "run":
                begin = time.process_time()
                for _ in range(message["units"]):
                    task[0]()
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
