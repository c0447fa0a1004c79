"""What tests would not notice: `make mutants` changes pure files, a small thing at a time, and runs their tests."""
