#!/usr/bin/env python3
"""The SMT solver that halmos calls: `solver.py QUERY.smt2`. First yices for a moment, which is the fastest on
comparisons and bits; then cvc5, which takes words for integers, the only way to products and quotients of 256 bits.
"""

import os
import subprocess
import sys

import cvc5

YICES_SECONDS = 3


def ask_yices(query: str) -> str:
    """Its answer, or nothing."""
    try:
        command = [os.environ["YICES"], "--smt2-model-format", "--bvconst-in-decimal", query]
        found = subprocess.run(command, capture_output=True, text=True, timeout=YICES_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return found.stdout if found.stdout.startswith(("sat", "unsat")) else ""


def ask_cvc5(query: str) -> None:
    """Prints its answers as they come; halmos ends it when its time is up."""
    solver = cvc5.Solver()
    solver.setOption("solve-bv-as-int", "iand")
    solver.setOption("produce-models", "true")
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, query)
    symbols = parser.getSymbolManager()
    while not (command := parser.nextCommand()).isNull():
        sys.stdout.write(str(command.invoke(solver, symbols)))
        sys.stdout.flush()


if __name__ == "__main__":
    answer = ask_yices(sys.argv[1])
    if answer:
        sys.stdout.write(answer)
    else:
        ask_cvc5(sys.argv[1])
