"""The kit makes the contract's modules, and makes them importable, before a test file here asks for them."""

import kit
