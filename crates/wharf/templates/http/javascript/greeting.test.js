import assert from "node:assert";
import test from "node:test";

import { greeting } from "./greeting.js";

test("whom the path names is greeted", () => {
  assert.equal(greeting("/"), "Hello, world!\n");
  assert.equal(greeting("/Ada"), "Hello, Ada!\n");
});
