import Testing

@Test func none() {}
