/**
 * What PyTorch's Python runs: it opens products, repeats them as often as it is told, and says how long they took by the
 * GPU's events. When enough was measured is decided by the one who asks. Every answer is one line with the key `assay`;
 * other lines are what packages print.
 */
export const TORCH_PROGRAM = `import sys
sys.path = [p for p in sys.path if p not in ("", ".")]
import json


def say(**answer):
    sys.stdout.write(json.dumps(dict(answer, assay=1)) + "\\n")
    sys.stdout.flush()


def main():
    import torch

    if not torch.cuda.is_available():
        return say(fault="PyTorch sees no GPU")
    gpus = range(torch.cuda.device_count())
    say(version=str(torch.__version__), gpus=len(gpus))
    held = []

    def open_products(type, n):
        kind = {"bf16": torch.bfloat16, "f16": torch.float16}[type]
        for i in gpus:
            with torch.cuda.device(i):
                a, b = (torch.randn(n, n, device="cuda", dtype=torch.float32).to(kind) for _ in "ab")
                c = torch.empty(n, n, device="cuda", dtype=kind)
                torch.mm(a, b, out=c)
                events = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                held.append((a, b, c, c.clone(), events))
        return {}

    def batch(calls):
        for i, (a, b, c, _, (start, end)) in zip(gpus, held):
            with torch.cuda.device(i):
                start.record()
                for _ in range(calls[i]):
                    torch.mm(a, b, out=c)
                end.record()
        for *_, (_, end) in held:
            end.synchronize()
        return {"ms": [start.elapsed_time(end) for *_, (start, end) in held]}

    def check(rows, columns):
        found = []
        for i, (a, b, c, first, _) in zip(gpus, held):
            with torch.cuda.device(i):
                torch.mm(a, b, out=c)
                torch.cuda.synchronize()
                n = c.shape[0]
                wanted = a[rows].cpu().double() @ b[:, columns].cpu().double()
                made = c[rows][:, columns].cpu().double()
                error = ((made - wanted).abs() / wanted.abs().clamp(min=n ** 0.5)).max().item()
                # What is no number has no place in JSON.
                error = error if error < 1e9 else None
                found.append({"repeatable": bool(torch.equal(first, c)), "error": error})
        return {"checks": found}

    def close():
        held.clear()
        torch.cuda.empty_cache()
        return {}

    acts = {"open": open_products, "batch": batch, "check": check, "close": close}
    for line in sys.stdin:
        question = json.loads(line)
        act = acts[question.pop("do")]
        try:
            say(**act(**question))
        except Exception as error:
            say(fault=(str(error) or type(error).__name__).splitlines()[0][:300])


try:
    main()
except Exception as error:
    say(fault="PyTorch cannot be used: " + (str(error) or type(error).__name__).splitlines()[0][:300])
`;
