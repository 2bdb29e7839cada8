"""What runs inside a library's environment: Python >= 3.7, standard library and NumPy only.

The harness starts `main.py` by its path, in an interpreter that has never heard of ann_bench;
`supervisor.py` stands between the two and leaves nothing behind. Nothing here imports the rest of the
package.
"""
