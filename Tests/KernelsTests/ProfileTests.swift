private import Dispatch
import Kernels
import Tensors
import Testing

/// `Profile`.
struct ProfileTests {
  private func attend() {
    let x = randomTensor([1, 8, 5], seed: 1)
    _ = attention(query: x, key: x, value: x, heads: 2)
  }

  @Test func countsOperationsAndBlocks() {
    let findings = Profile.measure {
      attend()
      Profile.ran(block: "first")
      attend()
      Profile.ran(block: "second")
      Profile.ran(block: "first")
    }
    #expect(findings.operations.map(\.name) == ["attention", "all the rest"])
    #expect(findings.operations[0].calls == 2)
    // Two calls, two products, 8 features, 5 queries and 5 keys.
    #expect(findings.operations[0].products == 2 * 2 * 8 * 5 * 5)
    #expect(findings.blocks.map(\.name) == ["first", "second"])
    #expect(findings.blocks.map(\.calls) == [2, 1])
  }

  /// The other task runs its operations while this one is profiled.
  @Test func otherTasksAreNotRecorded() {
    let findings = Profile.measure {
      let isDone = DispatchSemaphore(value: 0)
      Task.detached {
        for _ in 0..<3 { attend() }
        Profile.ran(block: "other")
        isDone.signal()
      }
      isDone.wait()
      attend()
    }
    #expect(findings.operations[0].calls == 1)
    #expect(findings.blocks.isEmpty)
  }

  @Test func nestedProfilesAreSeparate() {
    var inner = 0
    let outer = Profile.measure {
      attend()
      inner = Profile.measure { attend() }.operations[0].calls
    }
    #expect(inner == 1)
    #expect(outer.operations[0].calls == 1)
  }
}
