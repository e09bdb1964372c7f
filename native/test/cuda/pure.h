#pragma once
/// Runs the checks of pure.cpp; @returns how many failed of `count`.
int pureFailures(int& count);
