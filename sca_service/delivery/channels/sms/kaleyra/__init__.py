"""SMS over Kaleyra's Messages API (`kind = "kaleyra"`)."""
