import type { NextConfig } from "next";

// This project is the whole, whatever lock files stand in the directories above it.
const config: NextConfig = { turbopack: { root: import.meta.dirname } };

export default config;
