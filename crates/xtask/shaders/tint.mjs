// Compiles WGSL with Tint, Chrome's compiler, through Dawn's null backend: node tint.mjs MODULE FILE...
// Prints a line for each file: its name, `ok` or `failed`, milliseconds, and in one line what Tint says of a failure. A warning counts
// as a failure.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [module, ...files] = process.argv.slice(2);
const webgpu = await import(pathToFileURL(module));
Object.assign(globalThis, webgpu.globals);
const gpu = webgpu.create(["backend=null"]);
const adapter = await gpu.requestAdapter();
const wanted = [...adapter.features].filter((feature) => ["shader-f16", "subgroups"].includes(feature));
const device = await adapter.requestDevice({ requiredFeatures: wanted });

for (const file of files) {
    const start = performance.now();
    const problems = [];
    device.pushErrorScope("validation");
    const text = fs.readFileSync(file, "utf8");
    // naga has subgroups without this line, and refuses it. Tint does not know that a vote has one result in a subgroup.
    const line = "diagnostic(off, subgroup_uniformity); enable subgroups; ";
    const code = /\bsubgroup[A-Z]/.test(text) ? line + text : text;
    const shader = device.createShaderModule({ code });
    for (const message of (await shader.getCompilationInfo()).messages) {
        problems.push(`${message.type} in line ${message.lineNum}: ${message.message}`);
    }
    try {
        await device.createComputePipelineAsync({ layout: "auto", compute: { module: shader, entryPoint: "main" } });
    } catch (error) {
        // The null backend has the least limits that a device may have. Some variants need more threads or more workgroup memory.
        const needsMore = /workgroup_size\(.*\) that exceeds the maximum allowed|workgroup storage .* is larger than the maximum/;
        if (!needsMore.test(error.message)) {
            problems.push(error.message);
        }
    }
    const error = await device.popErrorScope();
    if (error && problems.length === 0) {
        problems.push(error.message);
    }
    const words = problems.join("; ").replace(/\s+/g, " ").slice(0, 600);
    const time = Math.round(performance.now() - start);
    console.log([path.basename(file), problems.length === 0 ? "ok" : "failed", time, words].join("\t"));
}
// Dawn keeps the process alive.
process.exit(0);
