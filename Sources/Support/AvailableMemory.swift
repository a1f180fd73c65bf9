private import Foundation

/// The bytes of memory that this process can still get: those of the machine, of its control groups, and
/// of its own limits, whichever is the least. Memory that the system can reclaim, and swap space, count.
///
/// - Returns: `nil` where nothing is known.
package func availableMemory() -> Int? {
  let status = text("/proc/self/status")
  let limits = [(RLIMIT_AS, "VmSize"), (RLIMIT_DATA, "VmData")].compactMap { kind, name in
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(kind.rawValue), &limit) == 0,
      let used = kilobytes(name, in: status)
    else { return nil as Int? }
    return limit.rlim_cur > UInt(Int.max) ? nil : max(0, Int(limit.rlim_cur) - used)
  }
  return (limits + [availableMemory(root: "")].compactMap { $0 }).min()
}

/// The memory of the machine, or of the smallest control group of this process that limits it, in bytes:
/// the same in every run, whatever else runs.
///
/// - Parameter root: a folder with a copy of the system's files; empty for the system's own.
/// - Returns: `nil` where nothing is known.
package func machineMemory(root: String = "") -> Int? {
  let machine = kilobytes("MemTotal", in: text(root + "/proc/meminfo"))
  return ([machine].compactMap { $0 } + groups(root: root).compactMap(\.limit)).min()
}

/// The peak resident memory of this process, in bytes, since it started or since its `clear_refs` was
/// written; `nil` where it is unknown.
package func peakMemory() -> Int? { kilobytes("VmHWM", in: text("/proc/self/status")) }

/// Sets the peak resident memory of this process to its present memory.
package func resetPeakMemory() {
  try? "5".write(toFile: "/proc/self/clear_refs", atomically: false, encoding: .utf8)
}

/// The free bytes of the machine and of the control groups of this process.
///
/// - Parameter root: a folder with a copy of the system's files; empty for the system's own.
package func availableMemory(root: String) -> Int? {
  let memory = text(root + "/proc/meminfo")
  let swap = kilobytes("SwapFree", in: memory) ?? 0
  let machine = kilobytes("MemAvailable", in: memory).map { $0 + swap }
  return ([machine].compactMap { $0 } + freeBytesOfGroups(root: root, swap: swap)).min()
}

/// The free bytes of each control group that limits the memory of this process.
private func freeBytesOfGroups(root: String, swap: Int) -> [Int] {
  groups(root: root).compactMap { $0.freeBytes(swap: swap) }
}

/// The control groups of this process that count memory.
private func groups(root: String) -> [ControlGroup] {
  text(root + "/proc/self/cgroup").split(separator: "\n").flatMap { line -> [ControlGroup] in
    // A line is NUMBER:CONTROLLERS:PATH; version 2 has no controllers.
    let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3 else { return [] }
    let controllers = parts[1].split(separator: ",")
    let isFirst = controllers.contains("memory")
    guard isFirst || controllers.isEmpty else { return [] }
    let base = root + "/sys/fs/cgroup" + (isFirst ? "/memory" : "")
    var path = folderPath(String(parts[2]))
    var found: [ControlGroup] = []
    // In a container, the path may not be visible; the limit is then that of a folder above.
    while true {
      found.append(ControlGroup(folder: base + (path == "/" ? "" : path), isFirst: isFirst))
      if path == "/" || path.isEmpty { return found }
      path = PathParts(path).folder
    }
  }
}

/// A control group, by the folder of its files.
private struct ControlGroup {
  let folder: String
  /// Whether the group is of version 1.
  let isFirst: Bool

  /// The most bytes of its processes; `nil` without a limit.
  var limit: Int? {
    // A group without a limit has "max", or in version 1 a number beyond all machines.
    number(isFirst ? "memory.limit_in_bytes" : "memory.max").flatMap { $0 < 1 << 60 ? $0 : nil }
  }

  /// The free bytes of a group with a limit, with memory that the system can reclaim.
  func freeBytes(swap: Int) -> Int? {
    guard let limit, let used = number(isFirst ? "memory.usage_in_bytes" : "memory.current") else {
      return nil
    }
    let names =
      isFirst
      ? ["total_active_file", "total_inactive_file"]
      : ["active_file", "inactive_file", "slab_reclaimable"]
    var reclaimable = 0
    for line in text(folder + "/memory.stat").split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 2, names.contains(String(words[0])) { reclaimable += Int(words[1]) ?? 0 }
    }
    var extra = swap
    if let most = number("memory.swap.max"), let held = number("memory.swap.current") {
      extra = min(swap, max(0, most - held))
    }
    return max(0, limit - used + reclaimable) + extra
  }

  private func number(_ name: String) -> Int? {
    Int(text(folder + "/" + name).trimmingCharacters(in: .whitespacesAndNewlines))
  }
}

/// A number of kilobytes (of 1024 bytes) in a file of lines such as `MemAvailable: 17 kB`, in bytes; `nil`
/// where the file has no such line.
private func kilobytes(_ name: String, in text: String) -> Int? {
  let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
  return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first).flatMap { Int($0) }
    .map { $0 * 1024 }
}

private func text(_ path: String) -> String {
  (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
}
