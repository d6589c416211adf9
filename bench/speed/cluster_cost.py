"""What a capture costs in parts: bytes, operations, memory, time (docs/CLUSTER.md).

    python3 bench/speed/cluster_cost.py [CORES_PER_NODE]

Constants are fits to SmolLM2-135M (Q4_1) on 1,024 tokens in 1 and in 4 parts, in
processor seconds of one core; F64 is the measured ceiling of docs/PERFORMANCE.md.
"""
import sys

F32 = 68.6e9         # operations a second and core of a forward pass, all included
F64 = 60e9           # of the sums
PER_WEIGHT = 6.8e-9  # s for each weight: read, hash, unpack, and the part's file
SHA256 = 1.0e9       # bytes a second, on one core: not shared by threads
TOKENS, T = 2048 * 128, 128
JOBS = 1024

# weights, L, E, H, G, D, MLP, bytes a weight
MODELS = {"8B": (8.03e9, 32, 4096, 32, 8, 128, 14336, 2),
          "70B": (70.6e9, 80, 8192, 64, 8, 128, 28672, 2),
          "405B": (405.9e9, 126, 16384, 128, 8, 128, 53248, 2)}


def cost(model, parts, cores):
    weights, L, E, H, G, D, mlp, size = MODELS[model]
    tokens = TOKENS / parts
    f32 = tokens * (2 * weights + L * 2 * T * H * D)
    f64 = tokens * L * (E * E + (2 * H + 5 * G) * D * D)
    small = (2 * H + 4 * G) * D * D * 8
    jobs = JOBS // parts
    live = 1 + jobs.bit_length()  # sums of E x E while they are joined
    shard = parts > 1
    memory = (tokens * E * 4 + 4 * (2 * E * H * D + 2 * E * G * D + 3 * E * mlp)
              + 8 * E * E * live + 4 * E * E * shard
              + small * (cores + live))  # one a thread, and those being joined
    part = L * (E * E / 2 * (4 + 8 * shard) + small / 2 * (1 + 2 * shard))
    seconds = (weights * size / SHA256 + weights * PER_WEIGHT / cores
               + (f32 / F32 + f64 / F64) / cores)
    return 2 * weights * size, f32, f64, memory, part, seconds


def main():
    cores = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    print("| model | parts | read, each | f32 | f64 | memory, each | file, each | time |")
    print("|---|---|---|---|---|---|---|---|")
    for model in MODELS:
        for parts in (1, 2, 4, 8, 16, 32, 64):
            read, f32, f64, memory, part, seconds = cost(model, parts, cores)
            print(f"| {model} | {parts} | {read / 1e9:,.0f} GB | {f32 / 1e15:.3g} P "
                  f"| {f64 / 1e15:.3g} P | {memory / 1e9:.0f} GB | {part / 1e9:.1f} GB "
                  f"| {seconds / 3600:.2f} h |")


main()
