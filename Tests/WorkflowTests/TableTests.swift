import Testing
import Workflow

@Suite struct TableTests {
  @Test func columnsAreAligned() {
    #expect(
      table([["name", "bytes"], ["a", "12"], ["longer", "1"]], rightAligned: [1])
        == "name    bytes\na          12\nlonger      1")
    #expect(table([]) == "")
    #expect(table([["a"], ["b", "c"]]) == "a\nb  c")
  }
}
