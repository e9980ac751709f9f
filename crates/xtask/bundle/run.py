"""Measures unmix on this machine's GPU, and the published iteration in PyTorch on the same, and writes result.json.

Steps: the devices and their check; the stages of an iteration against the device's roofline; fits of the same matrices
by unmix and by PyTorch, method after method in each round. A step that fails is told in the result, and the next one
runs. Exit codes: 0 all steps ran, 1 some failed, 2 wrong usage, 3 no GPU answered.
"""
import argparse
import ctypes
import glob
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "python"))

import machine
import runs
import summary

HERE = Path(__file__).resolve().parent
# Tokens, neurons, rank.
SHAPES = ["7500,14336,100", "7500,14336,400", "7500,5120,100", "7500,5120,400"]
QUICK_SHAPES = ["600,1000,20"]
SOLVERS = ("projected-ls", "hals", "mu", "paper")
SPARSITY = 0.01
# A loss counts as reached when it is that near, relatively.
NEARNESS = 1e-5
# Where the loader looks for drivers' manifests, and where containers put NVIDIA's.
MANIFESTS = ("/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d")
OTHER_MANIFESTS = ("/usr/local/nvidia/share/vulkan/icd.d", "/usr/local/nvidia/vulkan/icd.d")

NOTES = [
    "iteration_seconds: spread over the rounds of the median of an iteration's times, the first iteration left out.",
    "mean_iteration_seconds: of their mean. It is what counts on a GPU, where unmix may learn of losses in bursts.",
    "seconds_to_target: until the loss is within 1e-5 of the best that torch-f32 had.",
    "seconds_to_target of unmix has norms, k-means and the making of pipelines in it; PyTorch has loaded all it needs.",
    "PyTorch is waited for after each iteration, and its loss is computed while the clock stands; unmix's loss counts.",
    "PyTorch holds the activations in float32, as published; unmix as they are in the file, in float16.",
    "Reading the activations and moving them to the device count for neither.",
]


def main():
    args = arguments()
    work = HERE / "work"
    work.mkdir(exist_ok=True)
    result = {
        "about": json.loads((HERE / "about.json").read_text()),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": ["run.py", *sys.argv[1:]],
        "engine": args.engine,
        "gpu": None,
        "machine": machine.describe(),
        "nvidia_smi": nvidia_smi(),
        "libc": " ".join(platform.libc_ver()),
        "notes": NOTES,
        "failures": [],
    }
    code = 1
    try:
        code = measure(args, work, result)
    finally:
        # What was found is kept, whatever happens.
        Path(args.out).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        print(f"\nWritten: {args.out}")
    sys.exit(code)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["gpu", "cpu"], default="gpu", help="cpu gives no GPU result")
    parser.add_argument("--software", action="store_true", help="take a software renderer for a GPU, to try it")
    parser.add_argument("--quick", action="store_true", help="small matrices and few iterations")
    parser.add_argument("--rounds", type=int, help="of the fits [default: 3]")
    parser.add_argument("--iterations", type=int, help="of the published iteration [default: 1500]")
    shapes = f"of synthetic matrices [default: {' '.join(SHAPES)}]"
    parser.add_argument("--shape", action="append", metavar="n,d,K", help=shapes)
    parser.add_argument("--out", default=str(HERE / "result.json"), help="file to write")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.iterations = args.iterations or (20 if args.quick else 1500)
    args.shape = args.shape or (QUICK_SHAPES if args.quick else SHAPES)
    if args.rounds < 1 or args.iterations < 2:
        parser.error("a round and two iterations are needed at least, since the first iteration is not timed")
    try:
        args.shape = [tuple(map(int, shape.split(","))) for shape in args.shape]
        if any(len(shape) != 3 or min(shape) < 1 for shape in args.shape):
            raise ValueError
    except ValueError:
        parser.error("--shape: tokens, neurons and rank are needed, as in 7500,5120,100")
    return args


def measure(args, work, result):
    """All steps. Returns the exit code."""
    environment, result["vulkan"] = vulkan(work)
    adapter = None

    step("Devices")
    result["doctor"] = doctor(environment)
    if "error" in result["doctor"]:
        fail(result, "doctor", result["doctor"]["error"])
    for engine in result["doctor"].get("engines", []):
        print(f"  {engine['engine']}: {engine['name']}, {'passed' if engine['passed'] else 'FAILED THE CHECK'}")
    if args.engine == "gpu":
        result["gpu"] = gpu(result["doctor"], args.software)
        if result["gpu"] is None:
            result["note"] = "NO GPU ANSWERED: nothing was measured"
            print(f"\nNO GPU ANSWERED. {hint(result)}\nNothing was measured; --engine cpu measures the processor.")
            return 3
        adapter = result["gpu"]["name"]
    if result["gpu"] is None or result["gpu"]["adapter"]["software"]:
        result["note"] = "NOT A GPU RESULT: the times are those of the processor"
        print(f"  {result['note']}")

    step("Stages of an iteration")
    result["stages"] = []
    for shape in args.shape:
        stages(args, shape, adapter, environment, result)

    missing = [name for name in ("numpy", "torch") if importlib.util.find_spec(name) is None]
    if "numpy" in missing:
        fail(result, "fits", "Python has no numpy, which makes the matrices; set PYTHON to one that has it")
        return 1
    torch = describe_torch(args, result) if "torch" not in missing else None
    if torch is None and "torch" in missing:
        fail(result, "PyTorch", "Python has no torch: unmix alone is timed; set PYTHON to one that has it")
    if torch:
        step("The published iteration in PyTorch against reference runs")
        check(torch, result)

    step("Fits")
    result["fits"] = []
    for matrix in files(args, work):
        result["fits"].append(fits(args, matrix, torch, adapter, environment, result))
    return 1 if result["failures"] else 0


def step(title):
    print(f"\n== {title}", flush=True)


def fail(result, what, why):
    """Notes a step that failed."""
    print(f"  {what}: {why}", flush=True)
    result["failures"].append(f"{what}: {why}")


def nvidia_smi():
    """The GPUs as the driver names them, or None."""
    fields = "name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit"
    return machine.output_of("nvidia-smi", f"--query-gpu={fields}", "--format=csv")


def vulkan(work):
    """Variables in which the Vulkan loader and NVIDIA's driver are found, and how."""
    environment, found = {}, {}
    if loads("libvulkan.so.1"):
        found["loader"] = "the system's"
    else:
        found["loader"] = "the bundle's"
        others = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path]
        environment["LD_LIBRARY_PATH"] = ":".join([*others, str(HERE / "lib")])
    given = os.environ.get("VK_DRIVER_FILES") or os.environ.get("VK_ICD_FILENAMES")
    known = [file for folder in MANIFESTS for file in glob.glob(f"{folder}/*nvidia*.json")]
    elsewhere = [file for folder in OTHER_MANIFESTS for file in glob.glob(f"{folder}/*nvidia*.json")]
    if given:
        found["manifest"] = given
    elif known:
        found["manifest"] = known[0]
    elif elsewhere or loads("libGLX_nvidia.so.0"):
        manifest = elsewhere[0] if elsewhere else str(work / "nvidia_icd.json")
        if not elsewhere:
            # As the driver's own manifest, which containers often lack.
            driver = {"library_path": "libGLX_nvidia.so.0", "api_version": "1.3.0"}
            Path(manifest).write_text(json.dumps({"file_format_version": "1.0.0", "ICD": driver}))
        # The second is the name that loaders before 1.3.207 know.
        environment |= {"VK_DRIVER_FILES": manifest, "VK_ICD_FILENAMES": manifest}
        found["manifest"] = manifest
    else:
        found["manifest"] = None
    return environment, found


def loads(library):
    """Whether the system finds a library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def hint(result):
    """What may be wrong where no GPU answers."""
    if result["nvidia_smi"] is None:
        return "nvidia-smi does not answer either: there is no NVIDIA driver, or no GPU."
    if result["vulkan"]["manifest"] is None:
        return "The driver's Vulkan part (libGLX_nvidia.so.0) is missing; set NVIDIA_DRIVER_CAPABILITIES=all?"
    return "The driver is there; VK_LOADER_DEBUG=all ./unmix doctor shows why it gives no Vulkan device."


def doctor(environment):
    """What `unmix doctor` says; it may fail and say so all the same."""
    try:
        variables = os.environ | environment
        command = [HERE / "unmix", "doctor", "--json", "-q"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables)
    except OSError as error:
        return {"error": f"unmix did not start: {error}"}
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": f"exit code {done.returncode}: {done.stderr.strip()[-500:]}"}


def gpu(doctor, software):
    """The adapter to measure: the first in hardware that passed, or a software one if that is asked for."""
    passed = [engine for engine in doctor.get("engines", []) if engine["engine"] == "gpu" and engine["passed"]]
    hardware = [engine for engine in passed if not engine["adapter"]["software"]]
    chosen = hardware or (passed if software else [])
    return {"name": chosen[0]["name"], "adapter": chosen[0]["adapter"]} if chosen else None


def stages(args, shape, adapter, environment, result):
    """`unmix bench --stages`: what each stage takes, against the device's bandwidth and peak."""
    tokens, neurons, rank = shape
    command = [HERE / "unmix", "bench", "--stages", "--json", "--quiet", "--engine", args.engine]
    command += ["--tokens", tokens, "--neurons", neurons, "--rank", rank]
    command += ["--adapter", adapter] if adapter else []
    name = f"{tokens} × {neurons}, K = {rank}"
    try:
        found = json.loads(runs.run(command, environment))
        result["stages"].append(found)
        took, least = found["seconds"] * 1e3, found["roofline_seconds"] * 1e3
        print(f"  {name}: {took:.3g} ms, where the device's bandwidth and peak allow {least:.3g} ms", flush=True)
    except (runs.Failed, ValueError, KeyError) as error:
        fail(result, f"stages of {name}", str(error))


def describe_torch(args, result):
    """Where PyTorch computes, in worker.py's options, or None."""
    code = "import json, torch; print(json.dumps([torch.__version__, torch.version.cuda, torch.cuda.is_available() and "
    code += "torch.cuda.get_device_name(0)]))"
    try:
        version, cuda, device = json.loads(runs.run([sys.executable, "-c", code]).splitlines()[-1])
    except (runs.Failed, ValueError, IndexError) as error:
        fail(result, "PyTorch", f"torch does not load: {error}")
        return None
    result["torch"] = {"version": version, "cuda": cuda, "device": device or None}
    if args.engine == "cpu" or (args.software and not device):
        return {"torch-f32": {"device": "cpu"}}
    if not device:
        fail(result, "PyTorch", f"torch {version} sees no GPU, so unmix alone is timed")
        return None
    return {"torch-f32": {"device": "cuda"}, "torch-tf32": {"device": "cuda", "tf32": True}}


def check(torch, result):
    """PyTorch's published iteration against reference runs, on the device that is timed."""
    device = torch["torch-f32"]["device"]
    variables = {"UNMIX_GOLDEN": str(HERE / "golden"), "UNMIX_DEVICE": device}
    try:
        runs.run([sys.executable, HERE / "python" / "test_published.py"], variables)
        result["published_iteration_checked"] = True
        print(f"  right on {device}", flush=True)
    except runs.Failed as error:
        result["published_iteration_checked"] = False
        fail(result, f"published iteration on {device}", str(error))


def files(args, work):
    """Names, files and ranks of the matrices: the demo's activations, and synthetic ones."""
    from matrices import make

    yield "demo", HERE / "data" / "activations.safetensors", 20 if args.quick else 100
    for tokens, neurons, rank in args.shape:
        file = work / f"synthetic-{tokens}-{neurons}-{rank}.safetensors"
        make(file, tokens, neurons, rank, 0)
        yield "synthetic", file, rank


def fits(args, matrix, torch, adapter, environment, result):
    """All methods on one matrix, round after round."""
    from matrices import activations, make_start

    name, file, rank = matrix
    tokens, neurons = activations(file)[0].shape
    print(f"  {name}: {tokens:,} × {neurons:,}, K = {rank}", flush=True)
    start = HERE / "work" / "start.safetensors"
    make_start(start, tokens, rank, 0)

    def unmix(solver):
        options = {"start": start, "iterations": args.iterations} if solver == "paper" else {}
        if args.quick:
            options["iterations"] = args.iterations
        options |= {"engine": args.engine, "adapter": adapter, "environment": environment}
        return runs.unmix(HERE / "unmix", solver, file, start.parent, rank, SPARSITY, 0, **options)

    def published(options):
        return runs.worker("torch", file, rank, SPARSITY, 0, start, args.iterations, **options)

    # PyTorch in single precision comes first: its best loss is what all others aim at.
    methods = {method: (published, options) for method, options in (torch or {}).items()}
    methods |= {f"unmix-{solver}": (unmix, solver) for solver in SOLVERS}
    results, errors, target = {method: [] for method in methods}, {}, None
    for number in range(args.rounds):
        for method, (function, option) in methods.items():
            if method in errors:
                continue
            try:
                results[method].append(function(option))
            except runs.Failed as error:
                errors[method] = str(error)
                fail(result, f"{method} on {name}", str(error))
                continue
            if method == "torch-f32" and number == 0:
                target = summary.best(results[method][0]["losses"])[0] * (1 + NEARNESS)
    rows = {method: runs.row(ran, target) for method, ran in results.items() if method not in errors}
    rows |= {method: {"error": error} for method, error in errors.items()}
    for method, row in rows.items():
        print(f"    {method}: {told(row)}", flush=True)
    best = None if target is None else target / results["torch-f32"][0]["squared_norm"]
    curves = {method: [{key: one[key] for key in ("ends", "losses")} for one in ran] for method, ran in results.items()}
    shape = {"name": name, "tokens": tokens, "neurons": neurons, "rank": rank, "rounds": args.rounds}
    return shape | {"published_relative_error": best, "methods": rows, "curves": curves}


def told(row):
    """A row in a line."""
    if "error" in row:
        return row["error"]
    times = [summary.milliseconds(row[key]) for key in ("iteration_seconds", "mean_iteration_seconds")]
    text = f"an iteration {times[0]} (mean {times[1]}); error {row['relative_error']:.4f}"
    if "iterations_to_target" in row:
        seconds = summary.three(row["seconds_to_target"])
        text += f"; published error at iteration {row['iterations_to_target']}, {seconds}"
    return text.replace("**", "")


if __name__ == "__main__":
    main()
