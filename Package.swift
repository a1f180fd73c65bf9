// swift-tools-version: 6.2
import PackageDescription

/// Settings of every target.
let strict: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// Settings of targets where an unsafe call does not compile.
let safe: [SwiftSetting] = strict + [.strictMemorySafety()]

/// Settings of targets that own raw memory and spans over it.
let raw: [SwiftSetting] = strict + [.enableExperimentalFeature("Lifetimes")]

/// A library target below the executable.
func library(
  _ name: String, on dependencies: [Target.Dependency], settings: [SwiftSetting] = safe
) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, on dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: name + "Tests", dependencies: dependencies + ["TestSupport"], swiftSettings: strict)
}

/// Holds where the server is built.
let server = TargetDependencyCondition.when(traits: ["Server"])

let package = Package(
  name: "decant",
  products: [.executable(name: "decant", targets: ["Command"])],
  traits: [
    .trait(name: "Server", description: "The web page and the HTTP APIs: `decant serve`."),
    .default(enabledTraits: ["Server"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/swhitty/FlyingFox", from: "0.27.1"),
  ],
  targets: [
    .target(name: "CKernels"),
    .target(name: "CVocabulary", exclude: ["clip-merges.txt", "LICENSE"]),
    .target(
      name: "CStudioPage",
      exclude: [
        "page.html", "style.css", "parts.js", "session.js", "generate.js", "compare.js",
        "inspect.js", "bench.js", "start.js",
      ]),
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(
      name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CLinux"),
    .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "Formats", path: "Formats/Tables", swiftSettings: safe),
    library("Support", on: ["CKernels", "CCrypto", "CLinux", "CZlib"], settings: raw),
    library("Tensors", on: ["Support", "CKernels"], settings: raw),
    library("ModelSources", on: ["Tensors", "Support", "Formats"]),
    library("Kernels", on: ["Tensors", "Support", "CKernels", "COpenBLAS"], settings: raw),
    library("Checkpoints", on: ["ModelSources", "Tensors", "Support", "Formats"]),
    library("Models", on: ["ModelSources", "Tensors", "Support", "Formats"]),
    library("Execution", on: ["Models", "Kernels", "ModelSources", "Tensors", "Support"]),
    library(
      "Adapters",
      on: ["Checkpoints", "Models", "Kernels", "ModelSources", "Tensors", "Support", "Formats"]),
    library(
      "Sampling",
      on: [
        "Execution", "Models", "Kernels", "ModelSources", "Tensors", "Support", "Formats", "CPNG",
        "CVocabulary",
      ]),
    library("Stripping", on: ["Models", "ModelSources", "Tensors", "Support", "Formats"]),
    library("Quantization", on: ["Models", "Kernels", "ModelSources", "Tensors", "Support"]),
    library(
      "Calibration",
      on: [
        "Quantization", "Sampling", "Checkpoints", "Execution", "Models", "Kernels", "ModelSources",
        "Tensors", "Support",
      ]),
    library(
      "Packfiles",
      on: ["ModelSources", "Tensors", "Support", "CZlib"]),
    library(
      "Verification",
      on: [
        "Calibration", "Sampling", "Execution", "Models", "Kernels", "ModelSources", "Tensors",
        "Support",
      ]),
    library(
      "Workflow",
      on: [
        "Verification", "Calibration", "Stripping", "Quantization", "Packfiles", "Adapters",
        "Checkpoints", "Sampling", "Execution", "Models", "Kernels", "ModelSources", "Tensors",
        "Support", "Formats",
      ]),
    library(
      "Studio",
      on: ["Workflow", "Verification", "Sampling", "Tensors", "Support", "CStudioPage"]),
    library(
      "StudioServer",
      on: [
        "Studio", "Support",
        .product(name: "FlyingSocks", package: "FlyingFox", condition: server),
      ]),
    .executableTarget(
      name: "Command",
      dependencies: [
        "StudioServer", "Studio", "Workflow", "Support",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: safe),
    .target(
      name: "TestSupport",
      dependencies: ["Models", "ModelSources", "Tensors", "Support", "CKernels"],
      path: "Tests/TestSupport",
      swiftSettings: strict),
    tests("RepositoryRules", on: []),
    tests("Support", on: ["Support"]),
    tests("Tensors", on: ["Tensors", "Support"]),
    tests("ModelSources", on: ["ModelSources", "Tensors", "Support"]),
    tests("Kernels", on: ["Kernels", "Tensors", "Support", "CKernels"]),
    tests("Checkpoints", on: ["Checkpoints", "ModelSources", "Tensors", "Support"]),
    tests("Models", on: ["Models", "ModelSources", "Tensors", "Support"]),
    tests(
      "Adapters", on: ["Adapters", "Checkpoints", "Models", "ModelSources", "Tensors", "Support"]),
    tests(
      "Execution",
      on: ["Execution", "Models", "Checkpoints", "Kernels", "ModelSources", "Tensors", "Support"]),
    tests(
      "Sampling",
      on: [
        "Sampling", "Execution", "Models", "Checkpoints", "ModelSources", "Tensors", "Support",
        "Formats",
      ]),
    tests("Stripping", on: ["Stripping", "Models", "ModelSources", "Tensors", "Support"]),
    tests(
      "Quantization",
      on: ["Quantization", "Models", "Kernels", "ModelSources", "Tensors", "Support"]),
    tests(
      "Calibration",
      on: [
        "Calibration", "Quantization", "Sampling", "Models", "Checkpoints", "Kernels",
        "ModelSources", "Tensors", "Support",
        "Formats",
      ]),
    tests("Packfiles", on: ["Packfiles", "ModelSources", "Tensors", "Support"]),
    tests(
      "Verification",
      on: [
        "Verification", "Calibration", "Sampling", "Models", "Checkpoints", "ModelSources",
        "Tensors", "Support",
      ]),
    tests(
      "Workflow",
      on: [
        "Workflow", "Verification", "Packfiles", "Checkpoints", "Sampling", "Models",
        "ModelSources", "Tensors", "Support",
      ]),
    tests(
      "Studio",
      on: ["Studio", "Workflow", "Sampling", "Tensors", "Support"]),
    tests("Command", on: ["Command"]),
    tests("Fuzz", on: ["Command", "Packfiles", "Support"]),
  ]
)
