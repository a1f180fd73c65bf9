import Foundation
import Support
import TestSupport
import Testing

/// The memory that a process can get, from copies of the system's files.
@Suite struct AvailableMemoryTests {
  private func free(_ files: [String: String]) throws -> Int? {
    try withCopies(files) { availableMemory(root: $0) }
  }

  private func withCopies<Value>(
    _ files: [String: String], _ body: (String) throws -> Value
  ) throws -> Value {
    try withTemporaryFolder { folder in
      for (name, text) in files {
        let path = folder + "/" + name
        try FileManager.default.createDirectory(
          atPath: PathParts(path).folder, withIntermediateDirectories: true)
        try text.write(toFile: path, atomically: true, encoding: .utf8)
      }
      return try body(folder)
    }
  }

  private let machine = "MemTotal: 9000 kB\nMemAvailable: 4000 kB\nSwapFree: 500 kB\n"

  @Test func thisMachineHasMemory() throws {
    let bytes = try #require(availableMemory())
    #expect(bytes > 1 << 20 && bytes < 1 << 50)
    let peak = try #require(peakMemory())
    #expect(peak > 1 << 20 && peak < 1 << 50)
  }

  @Test func withoutFilesNothingIsKnown() throws { #expect(try free([:]) == nil) }

  @Test func swapCounts() throws {
    #expect(try free(["proc/meminfo": machine]) == 4500 * 1024)
  }

  /// The limit of a group above counts too.
  @Test func groupsOfVersion2() throws {
    let files = [
      "proc/meminfo": machine, "proc/self/cgroup": "0::/a/b\n",
      "sys/fs/cgroup/a/memory.max": "3000000\n", "sys/fs/cgroup/a/memory.current": "2000000\n",
      "sys/fs/cgroup/a/memory.stat":
        "anon 7\nactive_file 100\ninactive_file 20\nslab_reclaimable 3\n",
      "sys/fs/cgroup/a/memory.swap.max": "0\n", "sys/fs/cgroup/a/memory.swap.current": "0\n",
      "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "2000000\n",
    ]
    #expect(try free(files) == 1_000_123)
    var swapping = files
    swapping["sys/fs/cgroup/a/memory.swap.max"] = "max\n"
    #expect(try free(swapping) == 1_000_123 + 500 * 1024)
  }

  /// The whole memory is that of the smallest group above, however much of it is used.
  @Test func memoryOfGroups() throws {
    let files = [
      "proc/meminfo": machine, "proc/self/cgroup": "0::/a/b\n",
      "sys/fs/cgroup/a/memory.max": "3000000\n", "sys/fs/cgroup/a/memory.current": "2000000\n",
      "sys/fs/cgroup/a/b/memory.max": "max\n",
    ]
    #expect(try withCopies(files) { machineMemory(root: $0) } == 3_000_000)
    #expect(try withCopies(["proc/meminfo": machine]) { machineMemory(root: $0) } == 9000 * 1024)
    #expect(try withCopies([:]) { machineMemory(root: $0) } == nil)
  }

  /// In a container, the path of the group may not exist; the limit is at the top.
  @Test func groupsOfVersion1() throws {
    let files = [
      "proc/meminfo": "MemAvailable: 4000 kB\n",
      "proc/self/cgroup": "5:cpu:/x\n4:memory:/docker/1f\n0::/\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000000\n",
      "sys/fs/cgroup/memory/memory.usage_in_bytes": "2500000\n",
      "sys/fs/cgroup/memory/memory.stat":
        "inactive_file 9\ntotal_active_file 100\ntotal_inactive_file 20\n",
    ]
    #expect(try free(files) == 500_120)
    var unlimited = files
    unlimited["sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n"
    #expect(try free(unlimited) == 4000 * 1024)
  }
}
