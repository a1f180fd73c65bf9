// swift-tools-version: 6.2
import PackageDescription

/// The rooms of the house, lowest first. Every target states only what it stands on; kinds and
/// settings are derived here once.
let strict: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// Targets where an unsafe call does not compile.
let safe: [SwiftSetting] = strict + [.strictMemorySafety()]

/// Targets that own raw memory, and spans over it.
let raw: [SwiftSetting] = strict + [.enableExperimentalFeature("Lifetimes")]

func room(
  _ name: String, on dependencies: [Target.Dependency], settings: [SwiftSetting] = safe
) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, on dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: name + "Tests", dependencies: dependencies + ["TestSupport"], swiftSettings: strict)
}

let package = Package(
  name: "decant",
  products: [.executable(name: "decant", targets: ["Command"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-crypto", "3.0.0"..<"5.0.0"),
  ],
  targets: [
    .target(name: "CKernels"),
    .target(name: "CVocabulary", exclude: ["clip-merges.txt", "LICENSE"]),
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CMalloc"),
    .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "Formats", path: "Formats/Tables", swiftSettings: safe),
    room("Tensors", on: ["CKernels", "CMalloc", "CZlib"], settings: raw),
    room("Kernels", on: ["Tensors", "CKernels", "COpenBLAS"], settings: raw),
    room("Checkpoints", on: ["Tensors", "Formats"]),
    room("Models", on: ["Tensors", "Formats"]),
    room("Execution", on: ["Models", "Kernels", "Tensors"]),
    room("Adapters", on: ["Checkpoints", "Models", "Kernels", "Tensors", "Formats"]),
    room("Sampling", on: ["Execution", "Models", "Kernels", "Tensors", "CPNG", "CVocabulary"]),
    room("Stripping", on: ["Models", "Tensors", "Formats"]),
    room("Quantization", on: ["Models", "Kernels", "Tensors"]),
    room(
      "Calibration",
      on: [
        "Quantization", "Sampling", "Checkpoints", "Execution", "Models", "Kernels", "Tensors",
      ]),
    room(
      "Packfiles",
      on: ["Tensors", "CZlib", .product(name: "Crypto", package: "swift-crypto")]),
    room(
      "Verification",
      on: ["Sampling", "Execution", "Quantization", "Models", "Kernels", "Tensors"]),
    room(
      "Workflow",
      on: [
        "Verification", "Calibration", "Stripping", "Quantization", "Packfiles", "Adapters",
        "Checkpoints", "Sampling", "Execution", "Models", "Kernels", "Tensors", "Formats",
        .product(name: "Crypto", package: "swift-crypto"),
      ]),
    .executableTarget(
      name: "Command",
      dependencies: [
        "Workflow", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: safe),
    .target(
      name: "TestSupport", dependencies: ["Models", "Tensors"], path: "Tests/TestSupport",
      swiftSettings: strict),
    tests("House", on: []),
    tests("Tensors", on: ["Tensors"]),
    tests("Kernels", on: ["Kernels", "Tensors", "CKernels"]),
    tests("Checkpoints", on: ["Checkpoints", "Tensors"]),
    tests("Models", on: ["Models", "Tensors"]),
    tests("Adapters", on: ["Adapters", "Checkpoints", "Models", "Tensors"]),
    tests("Execution", on: ["Execution", "Models", "Checkpoints", "Kernels", "Tensors"]),
    tests("Sampling", on: ["Sampling", "Execution", "Models", "Checkpoints", "Tensors"]),
    tests("Stripping", on: ["Stripping", "Models", "Tensors"]),
    tests("Quantization", on: ["Quantization", "Models", "Kernels", "Tensors", "CKernels"]),
    tests(
      "Calibration",
      on: [
        "Calibration", "Quantization", "Sampling", "Models", "Checkpoints", "Kernels", "Tensors",
        "Formats",
      ]),
    tests("Packfiles", on: ["Packfiles", "Tensors", "CKernels"]),
    tests(
      "Verification", on: ["Verification", "Sampling", "Models", "Checkpoints", "Tensors"]),
    tests(
      "Workflow", on: ["Workflow", "Packfiles", "Checkpoints", "Sampling", "Models", "Tensors"]),
    tests("Command", on: ["Command"]),
  ]
)
